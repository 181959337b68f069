#pragma once

/// Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011)
/// with uniform and normal draws addressed by (seed, index). The same address gives the same bits on host and device,
/// in any order and on any number of threads.
///
/// Why the bits agree: only correctly rounded operations occur (+, *, fma, sqrt), and no product is an operand of a
/// sum, so a compiler has nothing to contract. Without hardware fma std::fma is exact but slow (software).

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/config.hpp"
#include "flowfar/core/constexpr_math.hpp"
#include "flowfar/core/error.hpp"

namespace flowfar {

/// The block cipher: 128 counter bits and 64 key bits give 128 random bits.
struct Philox {
    struct Counter {
        std::uint32_t word[4];
    };
    struct Key {
        std::uint32_t word[2];
    };

    FLOWFAR_HD static constexpr Counter block(Counter counter, Key key) {
        for (int round = 0; round < 10; ++round) {
            const std::uint64_t even = std::uint64_t{0xD2511F53U} * counter.word[0];
            const std::uint64_t odd = std::uint64_t{0xCD9E8D57U} * counter.word[2];
            counter = {{high(odd) ^ counter.word[1] ^ key.word[0], low(odd), high(even) ^ counter.word[3] ^ key.word[1],
                        low(even)}};
            key.word[0] += 0x9E3779B9U;  // golden ratio
            key.word[1] += 0xBB67AE85U;  // sqrt(3) - 1
        }
        return counter;
    }

    /// Block number `index` of the stream `seed`: the index is the lower half of the counter, the seed is the key.
    FLOWFAR_HD static constexpr Counter block(std::uint64_t seed, std::uint64_t index) {
        return block(Counter{{low(index), high(index), 0, 0}}, Key{{low(seed), high(seed)}});
    }

   private:
    FLOWFAR_HD static constexpr std::uint32_t low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }
    FLOWFAR_HD static constexpr std::uint32_t high(std::uint64_t value) {
        return static_cast<std::uint32_t>(value >> 32);
    }
};

namespace detail {

FLOWFAR_HD inline float fused(float a, float b, float c) {
#if defined(__CUDA_ARCH__)
    return __fmaf_rn(a, b, c);
#else
    return std::fma(a, b, c);
#endif
}

FLOWFAR_HD inline float product(float a, float b) {
#if defined(__CUDA_ARCH__)
    return __fmul_rn(a, b);
#else
    return a * b;
#endif
}

FLOWFAR_HD inline float square_root(float a) {
#if defined(__CUDA_ARCH__)
    return __fsqrt_rn(a);
#else
    return std::sqrt(a);
#endif
}

/// Maps 32 random bits to ((x >> 9) + 1/2) 2^-23: exact, symmetric about 1/2 and never 0 or 1.
FLOWFAR_HD inline float unit_interval(std::uint32_t x) {
    return product(static_cast<float>(x >> 9) + 0.5F, 0x1p-23F);
}

/// Natural logarithm of a normal positive float, within 1 ulp on (0, 1).
/// x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt 2) and log(1 + f) = f + f^2 (-1/2 + f p(f)); p is our own minimax fit
/// (relative error 2^-27).
FLOWFAR_HD inline float exact_log(float x) {
    constexpr std::uint32_t sqrt_half = 0x3F3504F3U;
    const std::uint32_t bits = std::bit_cast<std::uint32_t>(x) - sqrt_half;  // wraps below sqrt(1/2), as intended
    const float e = static_cast<float>(static_cast<std::int32_t>(bits) >> 23);
    const float f = std::bit_cast<float>((bits & 0x7FFFFFU) + sqrt_half) - 1.0F;
    float p = -0x1.38cf20p-4F;
    p = fused(p, f, 0x1.05602ep-3F);
    p = fused(p, f, -0x1.0d81f2p-3F);
    p = fused(p, f, 0x1.22d8f8p-3F);
    p = fused(p, f, -0x1.54728cp-3F);
    p = fused(p, f, 0x1.99a01ep-3F);
    p = fused(p, f, -0x1.000226p-2F);
    p = fused(p, f, 0x1.555554p-2F);
    p = fused(p, f, -0.5F);
    constexpr float log2_high = 0x1.62e430p-1F;
    constexpr float log2_low = -0x1.05c610p-29F;
    const float tail = fused(product(f, f), p, product(e, log2_low));
    return fused(e, log2_high, f + tail);
}

struct SinCos {
    float sin;
    float cos;
};

/// sin(pi x) and cos(pi x) for x in [0, 2], within 1 ulp of the larger of the two. Quadrant n and remainder r,
/// |r| <= 1/4, are exact; the polynomials in r^2 are our own minimax fits (relative error 2^-28 and 2^-31).
FLOWFAR_HD inline SinCos exact_sincospi(float x) {
    const int n = static_cast<int>(fused(2.0F, x, 0.5F));
    const float r = fused(-0.5F, static_cast<float>(n), x);
    const float z = product(r, r);
    float s = -0x1.2ddcecp-1F;
    s = fused(s, z, 0x1.46607ep+1F);
    s = fused(s, z, -0x1.4abbc0p+2F);
    constexpr float pi_high = 0x1.921fb6p+1F;
    constexpr float pi_low = -0x1.777a5cp-24F;
    s = fused(r, pi_high, product(r, fused(s, z, pi_low)));
    float c = 0x1.d47d5cp-3F;
    c = fused(c, z, -0x1.55b146p+0F);
    c = fused(c, z, 0x1.03c1aep+2F);
    c = fused(c, z, -0x1.3bd3ccp+2F);
    c = fused(c, z, 1.0F);
    const bool swap = (n & 1) != 0;
    const float sine = swap ? c : s;
    const float cosine = swap ? s : c;
    return {(n & 2) != 0 ? -sine : sine, ((n + 1) & 2) != 0 ? -cosine : cosine};
}

/// Box-Muller: two words give two independent normal draws. |z| <= sqrt(48 log 2) = 5.77.
FLOWFAR_HD inline void box_muller(std::uint32_t first, std::uint32_t second, float out[2]) {
    const float radius = square_root(product(-2.0F, exact_log(unit_interval(first))));
    const SinCos angle = exact_sincospi(product(2.0F, unit_interval(second)));
    out[0] = product(radius, angle.cos);
    out[1] = product(radius, angle.sin);
}

}  // namespace detail

/// Four uniform draws on (0, 1): elements 4 block ... 4 block + 3 of the stream `seed`.
FLOWFAR_HD inline void uniform_block(std::uint64_t seed, std::uint64_t block, float out[4]) {
    const Philox::Counter bits = Philox::block(seed, block);
    for (int lane = 0; lane < 4; ++lane) {
        out[lane] = detail::unit_interval(bits.word[lane]);
    }
}

/// Four standard normal draws: elements 4 block ... 4 block + 3 of the stream `seed`.
FLOWFAR_HD inline void normal_block(std::uint64_t seed, std::uint64_t block, float out[4]) {
    const Philox::Counter bits = Philox::block(seed, block);
    detail::box_muller(bits.word[0], bits.word[1], out);
    detail::box_muller(bits.word[2], bits.word[3], out + 2);
}

/// Element `index` of the stream `seed`, uniform on (0, 1): an odd multiple of 2^-24.
FLOWFAR_HD inline float uniform_at(std::uint64_t seed, std::uint64_t index) {
    return detail::unit_interval(Philox::block(seed, index / 4).word[index % 4]);
}

/// Element `index` of the stream `seed`, standard normal. Elements 2j and 2j + 1 are the cosine and sine branch of one
/// Box-Muller pair.
FLOWFAR_HD inline float normal_at(std::uint64_t seed, std::uint64_t index) {
    const Philox::Counter bits = Philox::block(seed, index / 4);
    const bool second_pair = (index & 2) != 0;
    float pair[2];
    detail::box_muller(bits.word[second_pair ? 2 : 0], bits.word[second_pair ? 3 : 1], pair);
    return pair[index & 1];
}

namespace detail {

/// The finalizer of splitmix64: a bijection of 64 bits in which every input bit reaches every output bit.
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

}  // namespace detail

/// The seed of an independent stream, derived from `seed` and a number (an epoch, a rank, a step).
[[nodiscard]] constexpr std::uint64_t fold(std::uint64_t seed, std::uint64_t number) {
    return detail::mix(detail::mix(seed + 0x9E3779B97F4A7C15U) + number);
}

/// The seed of an independent stream, derived from `seed` and a name (FNV-1a of its bytes).
[[nodiscard]] constexpr std::uint64_t fold(std::uint64_t seed, std::string_view name) {
    std::uint64_t hash = 0xCBF29CE484222325U;
    for (const char letter : name) {
        hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001B3U;
    }
    return fold(seed, hash);
}

/// A sequential reader of the stream `seed`, for host decisions in double: orders, shuffles, scalars. Every draw of 64
/// bits advances `position()` by one; a reader made with that position continues where this one stopped.
class Random {
   public:
    explicit Random(std::uint64_t seed, std::uint64_t position = 0) : seed_(seed), position_(position) {}

    /// 64 random bits: two words of a block.
    std::uint64_t bits() {
        const Philox::Counter block = Philox::block(seed_, position_ / 2);
        const std::size_t lane = 2 * (position_ % 2);
        ++position_;
        return std::uint64_t{block.word[lane]} | (std::uint64_t{block.word[lane + 1]} << 32);
    }

    /// Uniform on (0, 1): an odd multiple of 2^-53.
    double uniform() { return (static_cast<double>(bits() >> 12) + 0.5) * 0x1p-52; }

    /// Standard normal; takes two draws (Box-Muller, cosine branch).
    double normal() {
        const double radius = cx::sqrt(-2.0 * cx::log(uniform()));
        return radius * cx::cospi(2.0 * uniform());
    }

    /// Uniform on {0, ..., count - 1}, without bias. Takes one draw, rarely more. Throws `Error` for count 0.
    std::uint64_t below(std::uint64_t count) {
        require(count > 0, "Random::below: expected a positive count, found 0");
        const std::uint64_t surplus = (0 - count) % count;  // 2^64 mod count: rejected so that the rest divides evenly
        std::uint64_t draw = bits();
        while (draw < surplus) {
            draw = bits();
        }
        return draw % count;
    }

    /// A uniformly random order of 0, ..., count - 1 (Fisher-Yates). Throws `Error` for a negative count.
    std::vector<std::int64_t> permutation(std::int64_t count) {
        require(count >= 0, "Random::permutation: expected a count of at least 0, found ", count);
        std::vector<std::int64_t> order(static_cast<std::size_t>(count));
        for (std::size_t i = 0; i < order.size(); ++i) {
            order[i] = static_cast<std::int64_t>(i);
        }
        for (std::size_t left = order.size(); left > 1; --left) {
            std::swap(order[left - 1], order[below(left)]);
        }
        return order;
    }

    [[nodiscard]] std::uint64_t seed() const { return seed_; }
    [[nodiscard]] std::uint64_t position() const { return position_; }

   private:
    std::uint64_t seed_;
    std::uint64_t position_;
};

}  // namespace flowfar
