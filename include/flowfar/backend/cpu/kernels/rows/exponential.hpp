#pragma once

/// exp, and functions with an exponential inside, of rows of f32 numbers, with the widest instructions the CPU has. An
/// element's bits do not depend on its place in the row, nor on which of AVX2 and AVX-512 computes it.

#include <algorithm>
#include <array>
#include <limits>

#include "flowfar/backend/cpu/runtime/instruction_set.hpp"
#include "flowfar/core/dtype.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar::cpu::vectors {

// Φ(x), the normal distribution function, to 2e-7 relative: Φ(−√2 z) = t exp(−z² + p(t)) / 2, t = 1 / (1 + z/2), with
// the polynomial of Press et al., Numerical Recipes, "Error function"; the highest power first.
inline constexpr float tail_polynomial[] = {0.17087277F,  -0.82215223F, 1.48851587F, -1.13520398F, 0.27886807F,
                                            -0.18628806F, 0.09678418F,  0.37409196F, 1.00002368F,  -1.26551223F};
inline constexpr auto inverse_sqrt_two = static_cast<float>(detail::inverse_sqrt_two);
// 0.5 (1 + tanh u) = sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3): −2u = x (gelu_linear + gelu_cubic x²)
inline constexpr auto gelu_linear = static_cast<float>(-detail::two_sqrt_two_over_pi);
inline constexpr auto gelu_cubic = static_cast<float>(-detail::two_sqrt_two_over_pi * detail::gelu_cubic);

}  // namespace flowfar::cpu::vectors

#if defined(FLOWFAR_AVX512)

#include <immintrin.h>

namespace flowfar::cpu::vectors {

// exp(x) = 2^n exp(r), n = round(x / ln 2), r = x − n ln 2 with ln 2 as the sum of two floats; |r| < 0.35, where the
// Taylor series to r^7 is right to 6e-9.
inline constexpr float log2_e = 1.44269504F;
inline constexpr float ln2_high = 0.693147182F;
inline constexpr float ln2_low = -1.90465430e-9F;
/// Below, exp is less than the least normal number and gives 0; above `most_exponent` it gives infinity.
inline constexpr float least_exponent = -87.3365402F;
inline constexpr float most_exponent = 88.7228317F;
inline constexpr float infinite = std::numeric_limits<float>::infinity();

struct Avx2 {
    static constexpr Index lanes = 8;

    /// out[i] = Op(in[i])
    template <UnaryOp Op>
    FLOWFAR_AVX2 static void apply(const float* in, float* out, Index count) {
        Index i = 0;
        for (; i + lanes <= count; i += lanes) {
            _mm256_storeu_ps(out + i, value<Op>(_mm256_loadu_ps(in + i)));
        }
        if (i < count) {
            std::array<float, lanes> rest{};
            std::copy_n(in + i, count - i, rest.data());
            _mm256_storeu_ps(rest.data(), value<Op>(_mm256_loadu_ps(rest.data())));
            std::copy_n(rest.data(), count - i, out + i);
        }
    }

    /// to[i] = exp(from[i] − shift); gives their sum, added in the order of Avx512.
    FLOWFAR_AVX2 static float exponentials(const float* from, Index count, float shift, float* to) {
        __m256 low = _mm256_setzero_ps();
        __m256 high = _mm256_setzero_ps();
        Index i = 0;
        for (; i + 2 * lanes <= count; i += 2 * lanes) {
            add_exponentials(from + i, shift, to + i, low, high);
        }
        if (i < count) {
            std::array<float, 2 * lanes> rest;
            rest.fill(-infinite);
            std::copy_n(from + i, count - i, rest.data());
            add_exponentials(rest.data(), shift, rest.data(), low, high);
            std::copy_n(rest.data(), count - i, to + i);
        }
        return sum(_mm256_add_ps(low, high));
    }

    /// The largest of count > 0 numbers.
    FLOWFAR_AVX2 static float largest(const float* x, Index count) {
        __m256 peak[4];
        for (__m256& p : peak) {
            p = _mm256_set1_ps(-infinite);
        }
        Index i = 0;
        for (; i + 4 * lanes <= count; i += 4 * lanes) {
            peak[0] = _mm256_max_ps(peak[0], _mm256_loadu_ps(x + i));
            peak[1] = _mm256_max_ps(peak[1], _mm256_loadu_ps(x + i + lanes));
            peak[2] = _mm256_max_ps(peak[2], _mm256_loadu_ps(x + i + 2 * lanes));
            peak[3] = _mm256_max_ps(peak[3], _mm256_loadu_ps(x + i + 3 * lanes));
        }
        alignas(32) std::array<float, lanes> all;
        _mm256_store_ps(all.data(), _mm256_max_ps(_mm256_max_ps(peak[0], peak[1]), _mm256_max_ps(peak[2], peak[3])));
        float result = *std::max_element(all.begin(), all.end());
        for (; i < count; ++i) {
            result = std::max(result, x[i]);
        }
        return result;
    }

    [[gnu::always_inline]] FLOWFAR_AVX2 static inline float sum(__m256 x) {
        const __m128 four = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
        const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
    }

   private:
    [[gnu::always_inline]] FLOWFAR_AVX2 static inline void add_exponentials(const float* from, float shift, float* to,
                                                                            __m256& low, __m256& high) {
        const __m256 peak = _mm256_set1_ps(shift);
        const __m256 first = exponential(_mm256_sub_ps(_mm256_loadu_ps(from), peak));
        const __m256 second = exponential(_mm256_sub_ps(_mm256_loadu_ps(from + lanes), peak));
        _mm256_storeu_ps(to, first);
        _mm256_storeu_ps(to + lanes, second);
        low = _mm256_add_ps(low, first);
        high = _mm256_add_ps(high, second);
    }

    [[gnu::always_inline]] FLOWFAR_AVX2 static inline __m256 exponential(__m256 x) {
        const __m256i n = _mm256_cvtps_epi32(_mm256_mul_ps(x, _mm256_set1_ps(log2_e)));
        const __m256 whole = _mm256_cvtepi32_ps(n);
        const __m256 r =
            _mm256_fnmadd_ps(whole, _mm256_set1_ps(ln2_low), _mm256_fnmadd_ps(whole, _mm256_set1_ps(ln2_high), x));
        __m256 y = _mm256_set1_ps(1.0F / 5040.0F);
        y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0F / 720.0F));
        y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0F / 120.0F));
        y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0F / 24.0F));
        y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0F / 6.0F));
        y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(0.5F));
        y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0F));
        y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(1.0F));
        y = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(y), _mm256_slli_epi32(n, 23)));
        y = _mm256_blendv_ps(y, _mm256_set1_ps(infinite), _mm256_cmp_ps(x, _mm256_set1_ps(most_exponent), _CMP_GT_OQ));
        return _mm256_and_ps(y, _mm256_cmp_ps(x, _mm256_set1_ps(least_exponent), _CMP_NLT_UQ));
    }

    template <UnaryOp Op>
    [[gnu::always_inline]] FLOWFAR_AVX2 static inline __m256 value(__m256 x) {
        const __m256 one = _mm256_set1_ps(1.0F);
        const __m256 sign = _mm256_set1_ps(-0.0F);
        if constexpr (Op == UnaryOp::exp) {
            return exponential(x);
        } else if constexpr (Op == UnaryOp::sigmoid) {
            return _mm256_div_ps(one, _mm256_add_ps(one, exponential(_mm256_xor_ps(x, sign))));
        } else if constexpr (Op == UnaryOp::silu) {
            return _mm256_div_ps(x, _mm256_add_ps(one, exponential(_mm256_xor_ps(x, sign))));
        } else if constexpr (Op == UnaryOp::gelu_tanh) {
            const __m256 slope =
                _mm256_fmadd_ps(_mm256_mul_ps(x, x), _mm256_set1_ps(gelu_cubic), _mm256_set1_ps(gelu_linear));
            return _mm256_div_ps(x, _mm256_add_ps(one, exponential(_mm256_mul_ps(x, slope))));
        } else {
            const __m256 z = _mm256_mul_ps(_mm256_andnot_ps(sign, x), _mm256_set1_ps(inverse_sqrt_two));
            const __m256 t = _mm256_div_ps(one, _mm256_fmadd_ps(z, _mm256_set1_ps(0.5F), one));
            __m256 p = _mm256_setzero_ps();
            for (const float c : tail_polynomial) {
                p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(c));
            }
            const __m256 e = exponential(_mm256_fnmadd_ps(z, z, p));
            const __m256 tail = _mm256_mul_ps(_mm256_mul_ps(t, _mm256_set1_ps(0.5F)), e);
            const __m256 above = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ);
            return _mm256_mul_ps(x, _mm256_blendv_ps(tail, _mm256_sub_ps(one, tail), above));
        }
    }
};

struct Avx512 {
    static constexpr Index lanes = 16;

    /// out[i] = Op(in[i])
    template <UnaryOp Op>
    FLOWFAR_AVX512 static void apply(const float* in, float* out, Index count) {
        Index i = 0;
        for (; i + lanes <= count; i += lanes) {
            _mm512_storeu_ps(out + i, value<Op>(_mm512_loadu_ps(in + i)));
        }
        if (i < count) {
            const __mmask16 used = first(count - i);
            _mm512_mask_storeu_ps(out + i, used, value<Op>(_mm512_maskz_loadu_ps(used, in + i)));
        }
    }

    /// to[i] = exp(from[i] − shift); gives their sum.
    FLOWFAR_AVX512 static float exponentials(const float* from, Index count, float shift, float* to) {
        const __m512 none = _mm512_set1_ps(-infinite);
        __m512 sum = _mm512_setzero_ps();
        const __m512 peak = _mm512_set1_ps(shift);
        Index i = 0;
        for (; i + lanes <= count; i += lanes) {
            const __m512 y = exponential(_mm512_sub_ps(_mm512_loadu_ps(from + i), peak));
            _mm512_storeu_ps(to + i, y);
            sum = _mm512_add_ps(sum, y);
        }
        if (i < count) {
            const __mmask16 used = first(count - i);
            const __m512 y = exponential(_mm512_sub_ps(_mm512_mask_loadu_ps(none, used, from + i), peak));
            _mm512_mask_storeu_ps(to + i, used, y);
            sum = _mm512_add_ps(sum, y);
        }
        const __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(sum), 1));
        return Avx2::sum(_mm256_add_ps(_mm512_castps512_ps256(sum), high));
    }

    /// The largest of count > 0 numbers.
    FLOWFAR_AVX512 static float largest(const float* x, Index count) {
        const __m512 none = _mm512_set1_ps(-infinite);
        __m512 even = none;
        __m512 odd = none;
        Index i = 0;
        for (; i + 2 * lanes <= count; i += 2 * lanes) {
            even = _mm512_max_ps(even, _mm512_loadu_ps(x + i));
            odd = _mm512_max_ps(odd, _mm512_loadu_ps(x + i + lanes));
        }
        if (i + lanes <= count) {
            even = _mm512_max_ps(even, _mm512_loadu_ps(x + i));
            i += lanes;
        }
        odd = _mm512_max_ps(odd, _mm512_mask_loadu_ps(none, first(count - i), x + i));
        return _mm512_reduce_max_ps(_mm512_max_ps(even, odd));
    }

    /// Op(x)
    template <UnaryOp Op>
    [[gnu::always_inline]] FLOWFAR_AVX512 static inline __m512 value(__m512 x) {
        const __m512 one = _mm512_set1_ps(1.0F);
        if constexpr (Op == UnaryOp::exp) {
            return exponential(x);
        } else if constexpr (Op == UnaryOp::sigmoid) {
            return _mm512_div_ps(one, _mm512_add_ps(one, exponential_of_negative(x)));
        } else if constexpr (Op == UnaryOp::silu) {
            return _mm512_div_ps(x, _mm512_add_ps(one, exponential_of_negative(x)));
        } else if constexpr (Op == UnaryOp::gelu_tanh) {
            const __m512 slope =
                _mm512_fmadd_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(gelu_cubic), _mm512_set1_ps(gelu_linear));
            return _mm512_div_ps(x, _mm512_add_ps(one, exponential(_mm512_mul_ps(x, slope))));
        } else {
            const __m512 z = _mm512_mul_ps(_mm512_abs_ps(x), _mm512_set1_ps(inverse_sqrt_two));
            const __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(z, _mm512_set1_ps(0.5F), one));
            __m512 p = _mm512_setzero_ps();
            for (const float c : tail_polynomial) {
                p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(c));
            }
            const __m512 e = exponential(_mm512_fnmadd_ps(z, z, p));
            const __m512 tail = _mm512_mul_ps(_mm512_mul_ps(t, _mm512_set1_ps(0.5F)), e);
            const __mmask16 above = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ);
            return _mm512_mul_ps(x, _mm512_mask_sub_ps(tail, above, one, tail));
        }
    }

   private:
    /// The first count < lanes.
    FLOWFAR_AVX512 static __mmask16 first(Index count) { return static_cast<__mmask16>((1U << count) - 1U); }

    [[gnu::always_inline]] FLOWFAR_AVX512 static inline __m512 exponential(__m512 x) {
        const __m512i n = _mm512_cvtps_epi32(_mm512_mul_ps(x, _mm512_set1_ps(log2_e)));
        const __m512 whole = _mm512_cvtepi32_ps(n);
        const __m512 r =
            _mm512_fnmadd_ps(whole, _mm512_set1_ps(ln2_low), _mm512_fnmadd_ps(whole, _mm512_set1_ps(ln2_high), x));
        __m512 y = _mm512_set1_ps(1.0F / 5040.0F);
        y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(1.0F / 720.0F));
        y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(1.0F / 120.0F));
        y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(1.0F / 24.0F));
        y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(1.0F / 6.0F));
        y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(0.5F));
        y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(1.0F));
        y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(1.0F));
        y = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(y), _mm512_slli_epi32(n, 23)));
        y = _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, _mm512_set1_ps(most_exponent), _CMP_GT_OQ),
                               _mm512_set1_ps(infinite));
        return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(least_exponent), _CMP_NLT_UQ), y);
    }
    [[gnu::always_inline]] FLOWFAR_AVX512 static inline __m512 exponential_of_negative(__m512 x) {
        const __m512i sign = _mm512_set1_epi32(std::numeric_limits<int>::min());
        return exponential(_mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(x), sign)));
    }
};

}  // namespace flowfar::cpu::vectors

#endif

namespace flowfar::cpu {

/// Calls `f.operator()<Vectors>()` with the functions above for the instructions in use, and says whether there are
/// any; without, the caller is left to the compiler's flags.
template <class F>
[[nodiscard]] bool with_vectors([[maybe_unused]] F&& f) {
#if defined(FLOWFAR_AVX512)
    const InstructionSet set = instruction_set();
    if (set == InstructionSet::avx512) {
        f.template operator()<vectors::Avx512>();
        return true;
    }
    if (set == InstructionSet::avx2) {
        f.template operator()<vectors::Avx2>();
        return true;
    }
#endif
    return false;
}

}  // namespace flowfar::cpu
