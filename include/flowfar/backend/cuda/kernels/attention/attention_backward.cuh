#pragma once

/// Attention's gradients on tensor cores. With p = exp(scale q kᵀ − log-sum-exp) and g the output's gradient:
/// dv = pᵀ g, ds = p ∘ (g vᵀ − Σ g ∘ output), dk = scale dsᵀ q, dq = scale ds k. One kernel walks over the queries for
/// each tile of keys, another over the keys for each tile of queries: two products more than a single pass needs, but
/// every sum has a fixed order and nothing of size queries × keys is stored.

#include "flowfar/backend/cuda/kernels/attention/attention_tile.cuh"

namespace flowfar::cuda {

/// Operands of the backward kernels.
template <class T>
struct AttentionBackward {
    HeadRows<const T> query;     // [batch, heads, queries, width]
    HeadRows<const T> key;       // [batch, heads, keys, width]
    HeadRows<const T> value;     // [batch, heads, keys, width]
    HeadRows<const T> output;    // [batch, heads, queries, width]
    HeadRows<const T> gradient;  // [batch, heads, queries, width]
    const float* log_sum_exp;    // [batch, heads, queries]
    float* row_dots;             // [batch, heads, queries]: Σ gradient ∘ output, written by launch_attention_row_dots
    HeadRows<T> query_gradient;
    HeadRows<T> key_gradient;
    HeadRows<T> value_gradient;
    int heads;
    int queries;
    int keys;
    int width;
    float scale;
    bool causal;
};

/// One warp per query; each lane takes `pack` elements at a time.
template <int pack, class T>
__global__ void __launch_bounds__(128) attention_row_dots_kernel(const AttentionBackward<T> arguments, Index rows) {
    const Index row = static_cast<Index>(blockIdx.x) * 4 + threadIdx.x / 32;
    if (row >= rows) {
        return;
    }
    const Index pair = row / arguments.queries;
    const Index query = row % arguments.queries;
    const T* const a = arguments.output.of(pair, arguments.heads) + query * arguments.output.token;
    const T* const b = arguments.gradient.of(pair, arguments.heads) + query * arguments.gradient.token;
    float sum = 0.0F;
    for (int i = pack * static_cast<int>(threadIdx.x % 32); i < arguments.width; i += 32 * pack) {
        const Pack<T, pack> x = load_pack<pack>(a + i);
        const Pack<T, pack> y = load_pack<pack>(b + i);
#pragma unroll
        for (int n = 0; n < pack; ++n) {
            sum += static_cast<float>(x.values[n]) * static_cast<float>(y.values[n]);
        }
    }
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) {
        arguments.row_dots[row] = sum;
    }
}

/// dk and dv of one tile of keys. The transposed products sᵀ = k qᵀ and (g vᵀ)ᵀ = v gᵀ have keys as rows, so each warp
/// keeps its keys' p and ds in registers, where they are the left operands of the products that follow.
template <int depth>
__global__ void __launch_bounds__(key_gradient_shape(depth).threads())
    attention_key_gradient_kernel(const AttentionBackward<bf16> arguments) {
    constexpr AttentionTileShape shape = key_gradient_shape(depth);
    constexpr int columns = shape.columns;
    static_assert(shape.slabs == 1 && shape.threads() >= 2 * columns);
    bf16* const tile_k = reinterpret_cast<bf16*>(dynamic_shared());
    bf16* const tile_v = tile_k + shape.rows() * depth;
    bf16* const tiles_q = tile_v + shape.rows() * depth;                          // [2][columns, depth]
    bf16* const tiles_g = tiles_q + 2 * columns * depth;                          // [2][columns, depth]
    auto* const stats = reinterpret_cast<float*>(tiles_g + 2 * columns * depth);  // [2][2][columns]

    const int queries = arguments.queries;
    const int keys = arguments.keys;
    const int blocks = (keys + shape.rows() - 1) / shape.rows();
    const Index pair = blockIdx.x / static_cast<unsigned>(blocks);
    const int first_key = static_cast<int>(blockIdx.x % static_cast<unsigned>(blocks)) * shape.rows();
    const int warp_row = static_cast<int>(threadIdx.x / 32) * shape.warp_rows();
    const int lane = static_cast<int>(lane_number());
    const bf16* const query = arguments.query.of(pair, arguments.heads);
    const bf16* const gradient = arguments.gradient.of(pair, arguments.heads);

    // Threads [0, columns) fetch the log-sum-exp of one query each, in powers of two, the next ones its row dot.
    const int column = static_cast<int>(threadIdx.x) % columns;
    const bool second = static_cast<int>(threadIdx.x) >= columns;
    const float* const statistic = (second ? arguments.row_dots : arguments.log_sum_exp) + pair * queries;
    const float unit = second ? 1.0F : log2_e;
    const auto fetch_statistic = [&](int first) {
        return static_cast<int>(threadIdx.x) < 2 * columns && first + column < queries
                   ? statistic[first + column] * unit
                   : 0.0F;
    };
    const auto put_statistic = [&](int buffer, float value) {
        if (static_cast<int>(threadIdx.x) < 2 * columns) {
            stats[buffer * 2 * columns + static_cast<int>(threadIdx.x)] = value;
        }
    };
    const auto load_columns = [&](int buffer, int first) {
        load_tile<columns, depth, shape.threads()>(tiles_q + buffer * columns * depth, query, arguments.query.token,
                                                   first, queries, arguments.width);
        load_tile<columns, depth, shape.threads()>(tiles_g + buffer * columns * depth, gradient,
                                                   arguments.gradient.token, first, queries, arguments.width);
        cp_async_commit();
    };

    const int unseen =
        arguments.causal ? std::max(0, first_key - (keys - queries)) : 0;  // queries that see none of them
    const int begin = unseen / columns * columns;
    load_tile<shape.rows(), depth, shape.threads()>(tile_k, arguments.key.of(pair, arguments.heads),
                                                    arguments.key.token, first_key, keys, arguments.width);
    load_tile<shape.rows(), depth, shape.threads()>(tile_v, arguments.value.of(pair, arguments.heads),
                                                    arguments.value.token, first_key, keys, arguments.width);
    load_columns(0, begin);
    put_statistic(0, fetch_statistic(begin));

    const float scale_log2 = arguments.scale * log2_e;
    float dk[1][depth / 8][4] = {};
    float dv[1][depth / 8][4] = {};
    int buffer = 0;
    for (int first = begin; first < queries; first += columns, buffer ^= 1) {
        cp_async_wait<0>();
        __syncthreads();  // this tile is there, and nobody needs the one before
        float next = 0.0F;
        if (first + columns < queries) {
            load_columns(buffer ^ 1, first + columns);
            next = fetch_statistic(first + columns);
        }
        const bf16* const tile_q = tiles_q + buffer * columns * depth;
        const bf16* const tile_g = tiles_g + buffer * columns * depth;
        const float* const exponents = stats + buffer * 2 * columns;
        const float* const dots = exponents + columns;

        float p[1][columns / 8][4] = {};
        multiply_by_rows<1, columns, depth>(p, tile_k + warp_row * depth, tile_q);
        const bool hides = arguments.causal && first_key + shape.rows() - 1 > first + (keys - queries);
#pragma unroll
        for (int n = 0; n < columns / 8; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const int q = 8 * n + 2 * (lane % 4) + i % 2;
                const float value = fast_exp2(p[0][n][i] * scale_log2 - exponents[q]);
                const int key = first_key + warp_row + lane / 4 + 8 * (i / 2);
                p[0][n][i] = hides && key > first + q + (keys - queries) ? 0.0F : value;
            }
        }
        multiply_by_columns<1, columns, depth>(dv, p, tile_g);
        float ds[1][columns / 8][4] = {};
        multiply_by_rows<1, columns, depth>(ds, tile_v + warp_row * depth, tile_g);
#pragma unroll
        for (int n = 0; n < columns / 8; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                ds[0][n][i] = p[0][n][i] * (ds[0][n][i] - dots[8 * n + 2 * (lane % 4) + i % 2]);
            }
        }
        multiply_by_columns<1, columns, depth>(dk, ds, tile_q);
        put_statistic(buffer ^ 1, next);
    }
    cp_async_wait<0>();  // keys that no query sees have not been waited for
    __syncthreads();

    const float scale[1][2] = {{arguments.scale, arguments.scale}};
    const float one[1][2] = {{1.0F, 1.0F}};
    store_rows<1, depth>(dk, scale, tile_k + warp_row * depth, arguments.key_gradient.of(pair, arguments.heads),
                         arguments.key_gradient.token, first_key + warp_row, keys, arguments.width);
    store_rows<1, depth>(dv, one, tile_v + warp_row * depth, arguments.value_gradient.of(pair, arguments.heads),
                         arguments.value_gradient.token, first_key + warp_row, keys, arguments.width);
}

/// dq of one tile of queries.
template <int depth>
__global__ void __launch_bounds__(query_gradient_shape(depth).threads())
    attention_query_gradient_kernel(const AttentionBackward<bf16> arguments) {
    constexpr AttentionTileShape shape = query_gradient_shape(depth);
    constexpr int columns = shape.columns;
    static_assert(shape.slabs == 1);
    bf16* const tile_q = reinterpret_cast<bf16*>(dynamic_shared());
    bf16* const tile_g = tile_q + shape.rows() * depth;
    bf16* const tiles_k = tile_g + shape.rows() * depth;  // [2][columns, depth]
    bf16* const tiles_v = tiles_k + 2 * columns * depth;  // [2][columns, depth]

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
    const int lane = static_cast<int>(lane_number());
    const bf16* const key = arguments.key.of(pair, arguments.heads);
    const bf16* const value = arguments.value.of(pair, arguments.heads);
    const auto load_columns = [&](int buffer, int first) {
        load_tile<columns, depth, shape.threads()>(tiles_k + buffer * columns * depth, key, arguments.key.token, first,
                                                   keys, arguments.width);
        load_tile<columns, depth, shape.threads()>(tiles_v + buffer * columns * depth, value, arguments.value.token,
                                                   first, keys, arguments.width);
        cp_async_commit();
    };
    load_tile<shape.rows(), depth, shape.threads()>(tile_q, arguments.query.of(pair, arguments.heads),
                                                    arguments.query.token, first_query, queries, arguments.width);
    load_tile<shape.rows(), depth, shape.threads()>(tile_g, arguments.gradient.of(pair, arguments.heads),
                                                    arguments.gradient.token, first_query, queries, arguments.width);
    load_columns(0, 0);

    float exponents[2];
    float dots[2];
    int seen[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
        const int query = first_query + warp_row + 8 * half + lane / 4;
        const bool inside = query < queries;
        exponents[half] = inside ? arguments.log_sum_exp[pair * queries + query] * log2_e : 0.0F;
        dots[half] = inside ? arguments.row_dots[pair * queries + query] : 0.0F;
        seen[half] = visible_keys(query, queries, keys, causal) - 2 * (lane % 4);
    }
    const int seen_by_all = visible_keys(first_query, queries, keys, causal);
    const int end = visible_keys(last_query, queries, keys, causal);
    const float scale_log2 = arguments.scale * log2_e;
    float dq[1][depth / 8][4] = {};
    int buffer = 0;
    for (int first = 0; first < end; first += columns, buffer ^= 1) {
        cp_async_wait<0>();
        __syncthreads();  // this tile is there, and nobody needs the one before
        if (first + columns < end) {
            load_columns(buffer ^ 1, first + columns);
        }
        const bf16* const tile_k = tiles_k + buffer * columns * depth;
        const bf16* const tile_v = tiles_v + buffer * columns * depth;
        float p[1][columns / 8][4] = {};
        multiply_by_rows<1, columns, depth>(p, tile_q + warp_row * depth, tile_k);
        const bool hides = first + columns > seen_by_all;
#pragma unroll
        for (int n = 0; n < columns / 8; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float power = fast_exp2(p[0][n][i] * scale_log2 - exponents[i / 2]);
                // The zeros behind the last key would give powers without a bound.
                p[0][n][i] = hides && first + 8 * n + i % 2 >= seen[i / 2] ? 0.0F : power;
            }
        }
        float ds[1][columns / 8][4] = {};
        multiply_by_rows<1, columns, depth>(ds, tile_g + warp_row * depth, tile_v);
#pragma unroll
        for (int n = 0; n < columns / 8; ++n) {
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                ds[0][n][i] = p[0][n][i] * (ds[0][n][i] - dots[i / 2]);
            }
        }
        multiply_by_columns<1, columns, depth>(dq, ds, tile_k);
    }
    cp_async_wait<0>();  // queries that see no key have not waited yet
    __syncthreads();

    const float scale[1][2] = {{arguments.scale, arguments.scale}};
    store_rows<1, depth>(dq, scale, tile_q + warp_row * depth, arguments.query_gradient.of(pair, arguments.heads),
                         arguments.query_gradient.token, first_query + warp_row, queries, arguments.width);
}

/// Σ gradient ∘ output of every query, from `pack` elements at a time.
template <int pack, class T>
void launch_attention_row_dots(const AttentionBackward<T>& arguments, Index batch) {
    const Index rows = batch * arguments.heads * arguments.queries;
    launch(attention_row_dots_kernel<pack, T>, blocks_for(rows, 4), 128, 0, arguments, rows);
}

/// Starts the backward kernels for `batch` × heads problems; the width must have a padded_depth, all rows must begin at
/// multiples of 16 bytes.
inline void launch_attention_backward(const AttentionBackward<bf16>& arguments, Index batch) {
    launch_attention_row_dots<4>(arguments, batch);
    const Index pairs = batch * arguments.heads;
    visit_depth(arguments.width, [&]<int depth>() {
        constexpr AttentionTileShape keys = key_gradient_shape(depth);
        constexpr AttentionTileShape queries = query_gradient_shape(depth);
        launch(attention_key_gradient_kernel<depth>, blocks_for(blocks_for(arguments.keys, keys.rows()) * pairs, 1),
               static_cast<unsigned>(keys.threads()), gradient_shared_bytes(depth, keys), arguments);
        launch(attention_query_gradient_kernel<depth>,
               blocks_for(blocks_for(arguments.queries, queries.rows()) * pairs, 1),
               static_cast<unsigned>(queries.threads()), gradient_shared_bytes(depth, queries), arguments);
    });
}

}  // namespace flowfar::cuda
