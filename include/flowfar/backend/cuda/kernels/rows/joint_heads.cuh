#pragma once

/// RMS norm and rotary embedding of the queries and keys of several sequences, in place in the tensor into which the
/// sequences were projected, [batch, tokens, 3, heads, D]: one kernel, and nothing is moved.

#include "flowfar/backend/cuda/kernels/rows/thread_rows.cuh"

namespace flowfar::cuda {

inline constexpr int head_lanes = 16;  ///< threads that share a head
inline constexpr int head_threads = 128;
inline constexpr Index widest_head = 256;

/// Gains [D] of a sequence that ends before token `end`.
template <class T>
struct HeadGains {
    const T* query;
    const T* key;
    int end;
};

/// What the kernel knows of the heads beside their elements.
template <class T>
struct HeadNorm {
    static constexpr int most = 2;  ///< sequences

    HeadGains<T> gains[most];
    const T* cos;  ///< [tokens, D / 2]
    const T* sin;
    Index heads_in_all;  ///< of queries and of keys, over all tokens
    FastDivide heads;    ///< of a token's queries and keys
    FastDivide tokens;
    int depth;
    float epsilon;
};

/// Packs of `width` elements, an even number: x ← x / rms(x) · gain, its pairs turned by the token's angles.
template <class T, int width>
__global__ void __launch_bounds__(head_threads) head_norm_kernel(T* joint, HeadNorm<T> norm) {
    using C = Compute<T>;
    constexpr int slots = static_cast<int>(widest_head) / (head_lanes * width);
    const int lane = static_cast<int>(threadIdx.x) % head_lanes;
    const Index own = static_cast<Index>(blockIdx.x) * (head_threads / head_lanes) + threadIdx.x / head_lanes;
    // All lanes of a warp take part in its sums; nothing is stored twice.
    const auto head = static_cast<std::uint32_t>(own < norm.heads_in_all ? own : norm.heads_in_all - 1);
    const std::uint32_t row = norm.heads.quotient(head);
    const std::uint32_t part = head - row * norm.heads.divisor;
    const std::uint32_t token = row - norm.tokens.quotient(row) * norm.tokens.divisor;
    const std::uint32_t third = norm.heads.divisor / 2;  // heads of queries
    T* const x = joint + (static_cast<Index>(row) * 3 * third + part) * norm.depth;
    const HeadGains<T>& gains = norm.gains[static_cast<int>(token) < norm.gains[0].end ? 0 : 1];
    const T* const gain = part < third ? gains.query : gains.key;
    const Index angles = static_cast<Index>(token) * (norm.depth / 2);

    C values[slots * width];
    C squares = 0;
#pragma unroll
    for (int slot = 0; slot < slots; ++slot) {
        const int first = (slot * head_lanes + lane) * width;
        if (first < norm.depth) {
            const Pack<T, width> pack = load_pack<width>(x + first);
#pragma unroll
            for (int i = 0; i < width; ++i) {
                const C value = convert<C>(pack.values[i]);
                values[slot * width + i] = value;
                squares += value * value;
            }
        }
    }
    squares = lane_reduce<head_lanes>(squares, Add{});
    const C rstd = C(1) / std::sqrt(squares / static_cast<C>(norm.depth) + static_cast<C>(norm.epsilon));
    if (own >= norm.heads_in_all) {
        return;
    }
#pragma unroll
    for (int slot = 0; slot < slots; ++slot) {
        const int first = (slot * head_lanes + lane) * width;
        if (first < norm.depth) {
            const Pack<T, width> factor = load_pack<width>(gain + first);
            const Pack<T, width / 2> cosine = load_pack<width / 2>(norm.cos + angles + first / 2);
            const Pack<T, width / 2> sine = load_pack<width / 2>(norm.sin + angles + first / 2);
            Pack<T, width> pack;
#pragma unroll
            for (int i = 0; i < width; i += 2) {
                const C a = values[slot * width + i] * rstd * convert<C>(factor.values[i]);
                const C b = values[slot * width + i + 1] * rstd * convert<C>(factor.values[i + 1]);
                const C c = convert<C>(cosine.values[i / 2]);
                const C s = convert<C>(sine.values[i / 2]);
                pack.values[i] = convert<T>(a * c - b * s);
                pack.values[i + 1] = convert<T>(a * s + b * c);
            }
            store_pack(x + first, pack);
        }
    }
}

/// joint [batch, tokens, 3·heads·D] is contiguous and begins at a multiple of 256 bytes; gains and angles are
/// contiguous, and gains begin at a multiple of two elements.
template <class T>
void norm_heads(T* joint, const HeadNorm<T>& norm) {
    const auto run = [&]<int width>() {
        launch(head_norm_kernel<T, width>, dim3(blocks_for(norm.heads_in_all, head_threads / head_lanes)),
               dim3(head_threads), 0, joint, norm);
    };
    bool packed = norm.depth % pack_size<T> == 0 && is_aligned(norm.cos, 8) && is_aligned(norm.sin, 8);
    for (const HeadGains<T>& gains : norm.gains) {
        packed = packed && is_aligned(gains.query, 16) && is_aligned(gains.key, 16);
    }
    packed ? run.template operator()<pack_size<T>>() : run.template operator()<2>();
}

}  // namespace flowfar::cuda
