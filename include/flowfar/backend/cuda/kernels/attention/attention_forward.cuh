#pragma once

/// Attention on tensor cores, forward: one pass over the keys with a running maximum and sum per query
/// (Milakov & Gimelshein 2018), nothing of size queries × keys.

#include "flowfar/backend/cuda/kernels/attention/attention_tile.cuh"

namespace flowfar::cuda {

/// Operands of the forward kernels.
template <class T>
struct AttentionForward {
    HeadRows<const T> query;  // [batch, heads, queries, width]
    HeadRows<const T> key;    // [batch, heads, keys, width]
    HeadRows<const T> value;  // [batch, heads, keys, width]
    HeadRows<T> output;       // [batch, heads, queries, width]
    float* log_sum_exp;       // [batch, heads, queries]
    int heads;
    int queries;
    int keys;
    int width;
    float scale;
    bool causal;
};

namespace detail {

/// One step of the running softmax: turns logits s into exp(scale s − maximum) and updates maximum and sum; what was
/// summed up so far has to be multiplied by `correction`. The scale must be positive; it is folded, with log2 e, into
/// one multiply-add per logit.
template <int slabs, int columns>
__device__ __forceinline__ void softmax_step(float (&s)[slabs][columns / 8][4], float (&maximum)[slabs][2],
                                             float (&sum)[slabs][2], float (&correction)[slabs][2], float scale_log2) {
#pragma unroll
    for (int slab = 0; slab < slabs; ++slab) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float peak = maximum[slab][half];
#pragma unroll
            for (int n = 0; n < columns / 8; ++n) {
                peak = fmaxf(peak, fmaxf(s[slab][n][2 * half], s[slab][n][2 * half + 1]));
            }
            peak = fmaxf(peak, __shfl_xor_sync(all_lanes, peak, 1));
            peak = fmaxf(peak, __shfl_xor_sync(all_lanes, peak, 2));
            // Where nothing was visible so far, any finite number does: all exponentials are 0.
            const float shift = peak == minus_infinity ? 0.0F : peak * scale_log2;
            correction[slab][half] = fast_exp2(maximum[slab][half] * scale_log2 - shift);
            maximum[slab][half] = peak;
            float total = 0.0F;
#pragma unroll
            for (int n = 0; n < columns / 8; ++n) {
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; ++i) {
                    s[slab][n][i] = fast_exp2(s[slab][n][i] * scale_log2 - shift);
                    total += s[slab][n][i];
                }
            }
            sum[slab][half] = sum[slab][half] * correction[slab][half] + total;  // of this lane's columns
        }
    }
}

template <int slabs, int tiles>
__device__ __forceinline__ void scale_rows(float (&out)[slabs][tiles][4], const float (&factor)[slabs][2]) {
#pragma unroll
    for (int slab = 0; slab < slabs; ++slab) {
#pragma unroll
        for (int n = 0; n < tiles; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                out[slab][n][i] *= factor[slab][i / 2];
            }
        }
    }
}

/// Sets the logits of keys that a query does not see to −infinity; `first` is the tile's first key.
template <int slabs, int columns>
__device__ __forceinline__ void hide_keys(float (&s)[slabs][columns / 8][4], int first, int first_query, int queries,
                                          int keys, bool causal) {
    const int lane = static_cast<int>(lane_number());
    compute_late(first_query);
#pragma unroll
    for (int slab = 0; slab < slabs; ++slab) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            const int query = first_query + 16 * slab + 8 * half + lane / 4;
            const int seen = visible_keys(query, queries, keys, causal) - first - 2 * (lane % 4);
#pragma unroll
            for (int n = 0; n < columns / 8; ++n) {
                s[slab][n][2 * half] = 8 * n < seen ? s[slab][n][2 * half] : minus_infinity;
                s[slab][n][2 * half + 1] = 8 * n + 1 < seen ? s[slab][n][2 * half + 1] : minus_infinity;
            }
        }
    }
}

/// The factors that turn sums into means, and the log-sum-exp of a warp's rows from `first` on.
template <int slabs>
__device__ __forceinline__ void finish_softmax(const float (&maximum)[slabs][2], const float (&sum)[slabs][2],
                                               float (&factor)[slabs][2], float* log_sum_exp, int first, int queries,
                                               float scale_log2) {
    const int lane = static_cast<int>(lane_number());
#pragma unroll
    for (int s = 0; s < slabs; ++s) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
            float total = sum[s][half];
            total += __shfl_xor_sync(all_lanes, total, 1);
            total += __shfl_xor_sync(all_lanes, total, 2);
            const bool none = maximum[s][half] == minus_infinity;
            factor[s][half] = none ? 0.0F : 1.0F / total;
            const int query = first + 16 * s + 8 * half + lane / 4;
            if (lane % 4 == 0 && query < queries) {
                log_sum_exp[query] = none ? minus_infinity : maximum[s][half] * scale_log2 * ln_2 + logf(total);
            }
        }
    }
}

}  // namespace detail

template <int depth>
__global__ void __launch_bounds__(forward_shape(depth).threads())
    attention_forward_kernel(const AttentionForward<bf16> arguments) {
    constexpr AttentionTileShape shape = forward_shape(depth);
    constexpr int slabs = shape.slabs;
    constexpr int columns = shape.columns;
    bf16* const tile_q = reinterpret_cast<bf16*>(dynamic_shared());
    bf16* const tile_k = tile_q + shape.rows() * depth;
    bf16* const tile_v = tile_k + columns * depth;

    const int queries = arguments.queries;
    const int keys = arguments.keys;
    const bool causal = arguments.causal;
    const int blocks = (queries + shape.rows() - 1) / shape.rows();
    const Index pair = blockIdx.x / static_cast<unsigned>(blocks);
    int block = static_cast<int>(blockIdx.x % static_cast<unsigned>(blocks));
    block = causal ? blocks - 1 - block : block;  // the longest rows begin first
    const int first_query = block * shape.rows();
    const int last_query = std::min(first_query + shape.rows(), queries) - 1;
    const int warp_row = static_cast<int>(threadIdx.x / 32) * shape.warp_rows();
    const bf16* const key = arguments.key.of(pair, arguments.heads);
    const bf16* const value = arguments.value.of(pair, arguments.heads);

    // Queries and first keys; a negative scale changes the signs of the queries, so that the maximum stays one.
    load_tile<shape.rows(), depth, shape.threads()>(tile_q, arguments.query.of(pair, arguments.heads),
                                                    arguments.query.token, first_query, queries, arguments.width);
    load_tile<columns, depth, shape.threads()>(tile_k, key, arguments.key.token, 0, keys, arguments.width);
    cp_async_commit();
    const float scale_log2 = fmaxf(fabsf(arguments.scale) * log2_e, 1e-30F);
    if (arguments.scale < 0.0F) {
        cp_async_wait<0>();
        __syncthreads();
        auto* const words = reinterpret_cast<unsigned*>(tile_q);
        for (int i = static_cast<int>(threadIdx.x); i < shape.rows() * depth / 2; i += shape.threads()) {
            words[i] ^= 0x80008000U;
        }
    }

    float out[slabs][depth / 8][4] = {};
    float maximum[slabs][2];
    float sum[slabs][2] = {};
#pragma unroll
    for (int s = 0; s < slabs; ++s) {
        maximum[s][0] = minus_infinity;
        maximum[s][1] = minus_infinity;
    }
    const int seen_by_all = visible_keys(first_query, queries, keys, causal);
    const int tiles = (visible_keys(last_query, queries, keys, causal) + columns - 1) / columns;
    for (int tile = 0; tile < tiles; ++tile) {
        const int first = tile * columns;
        cp_async_wait<0>();
        __syncthreads();  // the keys are there, and nobody needs the last values
        load_tile<columns, depth, shape.threads()>(tile_v, value, arguments.value.token, first, keys, arguments.width);
        cp_async_commit();
        float s[slabs][columns / 8][4] = {};
        multiply_by_rows<slabs, columns, depth>(s, tile_q + warp_row * depth, tile_k);
        cp_async_wait<0>();
        __syncthreads();  // the values are there, and nobody needs these keys
        if (tile + 1 < tiles) {
            load_tile<columns, depth, shape.threads()>(tile_k, key, arguments.key.token, first + columns, keys,
                                                       arguments.width);
            cp_async_commit();
        }
        if (first + columns > seen_by_all) {
            detail::hide_keys<slabs, columns>(s, first, first_query + warp_row, queries, keys, causal);
        }
        float correction[slabs][2];
        detail::softmax_step<slabs, columns>(s, maximum, sum, correction, scale_log2);
        detail::scale_rows(out, correction);
        multiply_by_columns<slabs, columns, depth>(out, s, tile_v);
    }
    cp_async_wait<0>();  // a block that sees no key has not waited yet
    __syncthreads();

    float factor[slabs][2];
    detail::finish_softmax(maximum, sum, factor, arguments.log_sum_exp + pair * queries, first_query + warp_row,
                           queries, scale_log2);
    store_rows<slabs, depth>(out, factor, tile_q + warp_row * depth, arguments.output.of(pair, arguments.heads),
                             arguments.output.token, first_query + warp_row, queries, arguments.width);
}

/// Starts the forward kernel for `batch` × heads problems; the width must have a padded_depth, all rows must begin at
/// multiples of 16 bytes.
inline void launch_attention(const AttentionForward<bf16>& arguments, Index batch) {
    visit_depth(arguments.width, [&]<int depth>() {
        constexpr AttentionTileShape shape = forward_shape(depth);
        const Index blocks = blocks_for(arguments.queries, shape.rows()) * batch * arguments.heads;
        launch(attention_forward_kernel<depth>, blocks_for(blocks, 1), static_cast<unsigned>(shape.threads()),
               forward_shared_bytes(depth), arguments);
    });
}

}  // namespace flowfar::cuda
