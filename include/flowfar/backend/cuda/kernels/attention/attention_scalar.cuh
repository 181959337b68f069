#pragma once

/// Attention in plain float arithmetic, forward and backward, for operands that the tensor cores do not serve: float
/// elements, and any head size. The same algorithms as in attention_forward.cuh and attention_backward.cuh, on tiles of
/// 64 × 64 logits of which each of 256 threads keeps 4 × 4. Heads wider than `columns` are worked on in parts, each of
/// which computes the logits anew.

#include <cmath>
#include <type_traits>

#include "flowfar/backend/cuda/kernels/attention/attention_backward.cuh"
#include "flowfar/backend/cuda/kernels/attention/attention_forward.cuh"

namespace flowfar::cuda {

namespace scalar {

inline constexpr int tile = 64;
inline constexpr int threads = 256;
inline constexpr int slice = 32;        ///< of the head, staged at a time for a product of rows
inline constexpr int pitch = tile + 4;  ///< keeps rows of four floats aligned and spreads them over the banks

/// Rows of one operand of one head, zero outside.
template <class T>
struct Rows {
    const T* data;
    Index stride;
    int count;
    int width;

    [[nodiscard]] __device__ __forceinline__ float at(int row, int column) const {
        return row < count && column < width ? static_cast<float>(data[row * stride + column]) : 0.0F;
    }
};

/// The block's shared memory.
template <int columns>
struct Stage {
    float a[slice][pitch];
    float b[slice][pitch];
    float p[tile][pitch];
    float rows[tile][columns];
};

/// This thread's place: it keeps rows 4 y … 4 y + 3 and, in each group of 64, columns 4 x … 4 x + 3.
struct Place {
    int x;
    int y;

    __device__ __forceinline__ Place() : x(static_cast<int>(threadIdx.x % 16)), y(static_cast<int>(threadIdx.x / 16)) {}
};

/// out = a bᵀ for the tiles that begin at rows first_a and first_b.
template <int columns, class T>
__device__ __forceinline__ void dots(float (&out)[4][4], Stage<columns>& stage, const Rows<T>& a, int first_a,
                                     const Rows<T>& b, int first_b) {
    const Place place;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            out[i][j] = 0.0F;
        }
    }
    for (int first = 0; first < a.width; first += slice) {
        __syncthreads();
        const int d = static_cast<int>(threadIdx.x) % slice;  // neighboring threads read neighboring elements of a row
#pragma unroll 4
        for (int row = static_cast<int>(threadIdx.x) / slice; row < tile; row += threads / slice) {
            stage.a[d][row] = a.at(first_a + row, first + d);
            stage.b[d][row] = b.at(first_b + row, first + d);
        }
        __syncthreads();
#pragma unroll 8
        for (int d = 0; d < slice; ++d) {
            const Pack<float, 4> x = load_pack<4>(&stage.a[d][4 * place.y]);
            const Pack<float, 4> y = load_pack<4>(&stage.b[d][4 * place.x]);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    out[i][j] += x.values[i] * y.values[j];
                }
            }
        }
    }
}

/// acc += p b, where p is this thread's part of a tile and b rows of another operand from column `begin` on. Nobody may
/// still read stage.p and stage.rows.
template <int columns, class T>
__device__ __forceinline__ void accumulate(float (&acc)[4][columns / 16], Stage<columns>& stage, const float (&p)[4][4],
                                           const Rows<T>& b, int first, int begin) {
    const Place place;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
        store_pack(&stage.p[4 * place.x + j][4 * place.y], Pack<float, 4>{{p[0][j], p[1][j], p[2][j], p[3][j]}});
    }
    for (int i = static_cast<int>(threadIdx.x); i < tile * columns; i += threads) {
        stage.rows[i / columns][i % columns] = b.at(first + i / columns, begin + i % columns);
    }
    __syncthreads();
#pragma unroll 4
    for (int k = 0; k < tile; ++k) {
        const Pack<float, 4> x = load_pack<4>(&stage.p[k][4 * place.y]);
#pragma unroll
        for (int n = 0; n < columns / 64; ++n) {
            const Pack<float, 4> y = load_pack<4>(&stage.rows[k][64 * n + 4 * place.x]);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
#pragma unroll
                for (int j = 0; j < 4; ++j) {
                    acc[i][4 * n + j] += x.values[i] * y.values[j];
                }
            }
        }
    }
}

/// Writes this thread's part of rows first… from column `begin` on, times factor[row].
template <int columns, class T>
__device__ __forceinline__ void store(const float (&acc)[4][columns / 16], const float (&factor)[4], T* out,
                                      Index stride, int first, int count, int begin, int width) {
    const Place place;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int row = first + 4 * place.y + i;
#pragma unroll
        for (int n = 0; n < columns / 16; ++n) {
            const int column = begin + n / 4 * 64 + 4 * place.x + n % 4;
            if (row < count && column < width) {
                out[row * stride + column] = static_cast<T>(acc[i][n] * factor[i]);
            }
        }
    }
}

/// What a block works on: the grid is (pair, tile of rows, part of the columns), the last fastest.
struct Task {
    Index pair;
    int first;
    int begin;

    __device__ __forceinline__ Task(int rows, int width, int columns) {
        const auto parts = static_cast<unsigned>((width + columns - 1) / columns);
        const auto tiles = static_cast<unsigned>((rows + tile - 1) / tile);
        begin = static_cast<int>(blockIdx.x % parts) * columns;
        first = static_cast<int>(blockIdx.x / parts % tiles) * tile;
        pair = blockIdx.x / parts / tiles;
    }
};

}  // namespace scalar

template <int columns, class T>
__global__ void __launch_bounds__(scalar::threads, 2) attention_scalar_kernel(const AttentionForward<T> arguments) {
    auto& stage = *reinterpret_cast<scalar::Stage<columns>*>(dynamic_shared());
    const scalar::Place place;
    const scalar::Task task(arguments.queries, arguments.width, columns);
    const int queries = arguments.queries;
    const int keys = arguments.keys;
    const int width = arguments.width;
    const int heads = arguments.heads;
    const scalar::Rows<T> q{arguments.query.of(task.pair, heads), arguments.query.token, queries, width};
    const scalar::Rows<T> k{arguments.key.of(task.pair, heads), arguments.key.token, keys, width};
    const scalar::Rows<T> v{arguments.value.of(task.pair, heads), arguments.value.token, keys, width};

    float out[4][columns / 16] = {};
    float maximum[4];
    float sum[4] = {};
    int seen[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        maximum[i] = minus_infinity;
        seen[i] = visible_keys(task.first + 4 * place.y + i, queries, keys, arguments.causal);
    }
    const int last_query = std::min(task.first + scalar::tile, queries) - 1;
    const int end = visible_keys(last_query, queries, keys, arguments.causal);
    for (int first = 0; first < end; first += scalar::tile) {
        float p[4][4];
        scalar::dots(p, stage, q, task.first, k, first);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            float peak = maximum[i];
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                p[i][j] = first + 4 * place.x + j < seen[i] ? p[i][j] * arguments.scale : minus_infinity;
                peak = fmaxf(peak, p[i][j]);
            }
#pragma unroll
            for (int bits = 1; bits < 16; bits *= 2) {
                peak = fmaxf(peak, __shfl_xor_sync(all_lanes, peak, bits));
            }
            const float shift = peak == minus_infinity ? 0.0F : peak;
            const float correction = expf(maximum[i] - shift);
            maximum[i] = peak;
            sum[i] *= correction;
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                p[i][j] = expf(p[i][j] - shift);
                sum[i] += p[i][j];
            }
#pragma unroll
            for (int n = 0; n < columns / 16; ++n) {
                out[i][n] *= correction;
            }
        }
        scalar::accumulate<columns>(out, stage, p, v, first, task.begin);
    }
    float factor[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int bits = 1; bits < 16; bits *= 2) {
            sum[i] += __shfl_xor_sync(all_lanes, sum[i], bits);
        }
        const bool none = maximum[i] == minus_infinity;
        factor[i] = none ? 0.0F : 1.0F / sum[i];
        const int query = task.first + 4 * place.y + i;
        if (task.begin == 0 && place.x == 0 && query < queries) {
            arguments.log_sum_exp[task.pair * queries + query] = none ? minus_infinity : maximum[i] + logf(sum[i]);
        }
    }
    scalar::store<columns>(out, factor, arguments.output.of(task.pair, heads), arguments.output.token, task.first,
                           queries, task.begin, width);
}

template <int columns, class T>
__global__ void __launch_bounds__(scalar::threads, 1)
    attention_scalar_key_gradient_kernel(const AttentionBackward<T> arguments) {
    auto& stage = *reinterpret_cast<scalar::Stage<columns>*>(dynamic_shared());
    const scalar::Place place;
    const scalar::Task task(arguments.keys, arguments.width, columns);
    const int queries = arguments.queries;
    const int keys = arguments.keys;
    const int width = arguments.width;
    const int heads = arguments.heads;
    const scalar::Rows<T> q{arguments.query.of(task.pair, heads), arguments.query.token, queries, width};
    const scalar::Rows<T> k{arguments.key.of(task.pair, heads), arguments.key.token, keys, width};
    const scalar::Rows<T> v{arguments.value.of(task.pair, heads), arguments.value.token, keys, width};
    const scalar::Rows<T> g{arguments.gradient.of(task.pair, heads), arguments.gradient.token, queries, width};

    float dk[4][columns / 16] = {};
    float dv[4][columns / 16] = {};
    const int unseen =
        arguments.causal ? std::max(0, task.first - (keys - queries)) : 0;  // queries that see none of them
    for (int first = unseen / scalar::tile * scalar::tile; first < queries; first += scalar::tile) {
        float p[4][4];
        float ds[4][4];
        scalar::dots(p, stage, k, task.first, q, first);
        scalar::dots(ds, stage, v, task.first, g, first);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
            const int query = first + 4 * place.x + j;
            const bool inside = query < queries;
            const Index row = task.pair * queries + query;
            const float log_sum_exp = inside ? arguments.log_sum_exp[row] : 0.0F;
            const float dot = inside ? arguments.row_dots[row] : 0.0F;
            const int seen = inside ? visible_keys(query, queries, keys, arguments.causal) : 0;
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                const bool visible = task.first + 4 * place.y + i < seen;
                p[i][j] = visible ? expf(p[i][j] * arguments.scale - log_sum_exp) : 0.0F;
                ds[i][j] = p[i][j] * (ds[i][j] - dot);
            }
        }
        scalar::accumulate<columns>(dv, stage, p, g, first, task.begin);
        __syncthreads();
        scalar::accumulate<columns>(dk, stage, ds, q, first, task.begin);
    }
    const float scale = arguments.scale;
    scalar::store<columns>(dk, {scale, scale, scale, scale}, arguments.key_gradient.of(task.pair, heads),
                           arguments.key_gradient.token, task.first, keys, task.begin, width);
    scalar::store<columns>(dv, {1.0F, 1.0F, 1.0F, 1.0F}, arguments.value_gradient.of(task.pair, heads),
                           arguments.value_gradient.token, task.first, keys, task.begin, width);
}

template <int columns, class T>
__global__ void __launch_bounds__(scalar::threads, 1)
    attention_scalar_query_gradient_kernel(const AttentionBackward<T> arguments) {
    auto& stage = *reinterpret_cast<scalar::Stage<columns>*>(dynamic_shared());
    const scalar::Place place;
    const scalar::Task task(arguments.queries, arguments.width, columns);
    const int queries = arguments.queries;
    const int keys = arguments.keys;
    const int width = arguments.width;
    const int heads = arguments.heads;
    const scalar::Rows<T> q{arguments.query.of(task.pair, heads), arguments.query.token, queries, width};
    const scalar::Rows<T> k{arguments.key.of(task.pair, heads), arguments.key.token, keys, width};
    const scalar::Rows<T> v{arguments.value.of(task.pair, heads), arguments.value.token, keys, width};
    const scalar::Rows<T> g{arguments.gradient.of(task.pair, heads), arguments.gradient.token, queries, width};

    float dq[4][columns / 16] = {};
    float log_sum_exp[4];
    float dot[4];
    int seen[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int query = task.first + 4 * place.y + i;
        const bool inside = query < queries;
        log_sum_exp[i] = inside ? arguments.log_sum_exp[task.pair * queries + query] : 0.0F;
        dot[i] = inside ? arguments.row_dots[task.pair * queries + query] : 0.0F;
        seen[i] = inside ? visible_keys(query, queries, keys, arguments.causal) : 0;
    }
    const int last_query = std::min(task.first + scalar::tile, queries) - 1;
    const int end = visible_keys(last_query, queries, keys, arguments.causal);
    for (int first = 0; first < end; first += scalar::tile) {
        float p[4][4];
        float ds[4][4];
        scalar::dots(p, stage, q, task.first, k, first);
        scalar::dots(ds, stage, g, task.first, v, first);
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
            for (int j = 0; j < 4; ++j) {
                const bool visible = first + 4 * place.x + j < seen[i];
                const float share = visible ? expf(p[i][j] * arguments.scale - log_sum_exp[i]) : 0.0F;
                ds[i][j] = share * (ds[i][j] - dot[i]);
            }
        }
        scalar::accumulate<columns>(dq, stage, ds, k, first, task.begin);
    }
    const float scale = arguments.scale;
    scalar::store<columns>(dq, {scale, scale, scale, scale}, arguments.query_gradient.of(task.pair, heads),
                           arguments.query_gradient.token, task.first, queries, task.begin, width);
}

namespace scalar {

template <int columns, class Arguments>
void launch_tiles(void (*kernel)(Arguments), const std::type_identity_t<std::remove_const_t<Arguments>>& arguments,
                  int rows, Index batch) {
    const Index blocks = blocks_for(rows, tile) * Index{blocks_for(arguments.width, columns)};
    launch(kernel, blocks_for(blocks * batch * arguments.heads, 1), threads, sizeof(Stage<columns>), arguments);
}

}  // namespace scalar

/// Starts the scalar forward kernel for `batch` × heads problems.
template <class T>
void launch_attention_scalar(const AttentionForward<T>& arguments, Index batch) {
    if (arguments.width <= 64) {
        scalar::launch_tiles<64>(attention_scalar_kernel<64, T>, arguments, arguments.queries, batch);
    } else {
        scalar::launch_tiles<128>(attention_scalar_kernel<128, T>, arguments, arguments.queries, batch);
    }
}

/// Starts the scalar backward kernels for `batch` × heads problems.
template <class T>
void launch_attention_scalar_backward(const AttentionBackward<T>& arguments, Index batch) {
    launch_attention_row_dots<1>(arguments, batch);
    const auto run = [&]<int columns>() {
        scalar::launch_tiles<columns>(attention_scalar_key_gradient_kernel<columns, T>, arguments, arguments.keys,
                                      batch);
        scalar::launch_tiles<columns>(attention_scalar_query_gradient_kernel<columns, T>, arguments, arguments.queries,
                                      batch);
    };
    if (arguments.width <= 64) {
        run.template operator()<64>();
    } else {
        run.template operator()<128>();
    }
}

}  // namespace flowfar::cuda
