#pragma once

/// Sums, means, maxima and sums of squares. The order of additions depends on the extents alone: long reductions are
/// made in pieces, whose results are reduced in turn.

#include <limits>

#include "flowfar/backend/cuda/kernels/elementwise/strided.cuh"
#include "flowfar/backend/cuda/runtime/block.cuh"
#include "flowfar/backend/cuda/runtime/launch.cuh"
#include "flowfar/core/op_options.hpp"

namespace flowfar::cuda {

/// What a reduction does with elements (`first`) and with partial results (`join`).
template <ReduceOp Op, class C>
struct Reducer {
    static constexpr bool is_max = Op == ReduceOp::max;

    [[nodiscard]] __device__ static __forceinline__ C identity() {
        return is_max ? -std::numeric_limits<C>::infinity() : C(0);
    }
    __device__ static __forceinline__ C first(C x) { return Op == ReduceOp::sum_squares ? x * x : x; }
    __device__ __forceinline__ C operator()(C a, C b) const {
        if constexpr (is_max) {
            return Largest{}(a, b);
        } else {
            return a + b;
        }
    }
};

inline constexpr int reduce_threads = 256;
inline constexpr Index row_piece = 16384;   ///< elements of a row that one block reduces
inline constexpr Index column_piece = 512;  ///< rows that one block reduces to a row

/// Rows of `length` elements in `pieces` parts: out[row, piece]. `Threads` threads work on each part.
template <int Threads, ReduceOp Op, class Out, class In>
__global__ void __launch_bounds__(reduce_threads)
    reduce_rows_kernel(Out* out, const In* in, Index length, Index piece, FastDivide pieces, Index count, bool packed,
                       Compute<In> divisor) {
    using C = Compute<In>;
    constexpr int width = pack_size<In>;
    constexpr Reducer<Op, C> join;
    const Index part = static_cast<Index>(blockIdx.x) * blockDim.y + threadIdx.y;
    if (part >= count) {
        return;  // whole warps only
    }
    const Index row = pieces.quotient(static_cast<std::uint32_t>(part));
    const Index begin = (part - row * pieces.divisor) * piece;
    const Index size = length - begin < piece ? length - begin : piece;
    const In* const from = in + row * length + begin;
    C sums[width];
#pragma unroll
    for (int i = 0; i < width; ++i) {
        sums[i] = join.identity();
    }
    Index done = 0;
    if (packed) {
        done = size / width * width;
        for (Index i = static_cast<Index>(threadIdx.x) * width; i < done; i += Threads * width) {
            const Pack<In, width> pack = load_pack<width>(from + i);
#pragma unroll
            for (int k = 0; k < width; ++k) {
                sums[k] = join(sums[k], join.first(convert<C>(pack.values[k])));
            }
        }
    }
    for (Index i = done + threadIdx.x; i < size; i += Threads) {
        sums[0] = join(sums[0], join.first(convert<C>(from[i])));
    }
#pragma unroll
    for (int i = 1; i < width; ++i) {
        sums[0] = join(sums[0], sums[i]);
    }
    const C total = group_reduce<Threads>(sums[0], join);
    if (threadIdx.x == 0) {
        out[part] = convert<Out>(static_cast<C>(total / divisor));
    }
}

/// in [outer, middle, inner] → out [outer, pieces, inner]. A block owns `tile` neighboring columns.
template <ReduceOp Op, class Out, class In>
__global__ void __launch_bounds__(reduce_threads)
    reduce_columns_kernel(Out* out, const In* in, Index middle, Index inner, Index piece, FastDivide pieces,
                          FastDivide tiles, int tile, Compute<In> divisor) {
    using C = Compute<In>;
    constexpr Reducer<Op, C> join;
    __shared__ C partial[reduce_threads];
    const std::uint32_t rest = tiles.quotient(blockIdx.x);
    const std::uint32_t outer = pieces.quotient(rest);
    const int lane = static_cast<int>(threadIdx.x) % tile;
    const int line = static_cast<int>(threadIdx.x) / tile;
    const int lines = reduce_threads / tile;
    const Index column = static_cast<Index>(blockIdx.x - rest * tiles.divisor) * tile + lane;
    const Index begin = static_cast<Index>(rest - outer * pieces.divisor) * piece;
    const Index end = begin + piece < middle ? begin + piece : middle;
    C total = join.identity();
    if (column < inner) {
        const In* const from = in + outer * middle * inner + column;
#pragma unroll 4
        for (Index m = begin + line; m < end; m += lines) {
            total = join(total, join.first(convert<C>(from[m * inner])));
        }
    }
    partial[threadIdx.x] = total;
    for (int distance = lines / 2; distance > 0; distance /= 2) {
        __syncthreads();
        if (line < distance) {
            partial[threadIdx.x] = join(partial[threadIdx.x], partial[static_cast<int>(threadIdx.x) + distance * tile]);
        }
    }
    if (line == 0 && column < inner) {
        out[static_cast<Index>(rest) * inner + column] = convert<Out>(static_cast<C>(partial[threadIdx.x] / divisor));
    }
}

struct Reduce {
    /// in, contiguous and seen as [outer, middle, inner], is reduced over the middle to out [outer, inner].
    template <class T>
    static void block(T* out, const T* in, Index outer, Index middle, Index inner, ReduceOp op) {
        using C = Compute<T>;
        const C divisor = op == ReduceOp::mean ? static_cast<C>(middle) : C(1);
        switch (op) {
            case ReduceOp::max:
                return run<ReduceOp::max>(out, in, outer, middle, inner, divisor);
            case ReduceOp::sum_squares:
                return run<ReduceOp::sum_squares>(out, in, outer, middle, inner, divisor);
            default:
                return run<ReduceOp::sum>(out, in, outer, middle, inner, divisor);
        }
    }

    /// Out and In are T or what T is computed in.
    template <ReduceOp Op, class Out, class In>
    static void run(Out* out, const In* in, Index outer, Index middle, Index inner, Compute<In> divisor) {
        using C = Compute<In>;
        if (outer * inner == 0) {
            return;
        }
        const Index piece = inner == 1 ? row_piece : column_piece;
        const Index pieces = std::max<Index>(1, (middle + piece - 1) / piece);
        if (pieces == 1) {
            pass<Op>(out, in, outer, middle, inner, piece, pieces, divisor);
            return;
        }
        const auto count = static_cast<std::size_t>(outer * pieces * inner);
        const std::shared_ptr<std::byte> scratch = allocate(count * sizeof(C));
        C* const partial = reinterpret_cast<C*>(scratch.get());
        pass<Op>(partial, in, outer, middle, inner, piece, pieces, C(1));
        constexpr ReduceOp next = Op == ReduceOp::max ? ReduceOp::max : ReduceOp::sum;
        run<next>(out, static_cast<const C*>(partial), outer, pieces, inner, divisor);
    }

   private:
    template <ReduceOp Op, class Out, class In>
    static void pass(Out* out, const In* in, Index outer, Index middle, Index inner, Index piece, Index pieces,
                     Compute<In> divisor) {
        if (inner == 1) {
            const Index count = outer * pieces;
            require(count <= count_limit, "reduce: ", count, " rows");
            const bool packed = is_aligned(in, 16) && (middle % pack_size<In> == 0 || outer == 1);
            const bool small = middle <= 1024;
            const unsigned rows = small ? reduce_threads / 32 : 1;
            const auto kernel = small ? reduce_rows_kernel<32, Op, Out, In> : reduce_rows_kernel<256, Op, Out, In>;
            launch(kernel, dim3(static_cast<unsigned>((count + rows - 1) / rows)),
                   dim3(small ? 32 : reduce_threads, rows), 0, out, in, middle, piece, FastDivide::by(pieces), count,
                   packed, divisor);
            return;
        }
        int tile = 4;
        while (tile < 32 && tile < inner) {
            tile *= 2;
        }
        const Index tiles = (inner + tile - 1) / tile;
        require(outer * pieces * tiles <= count_limit, "reduce: ", outer * pieces * tiles, " tiles");
        launch(reduce_columns_kernel<Op, Out, In>, dim3(static_cast<unsigned>(outer * pieces * tiles)),
               dim3(reduce_threads), 0, out, in, middle, inner, piece, FastDivide::by(pieces), FastDivide::by(tiles),
               tile, divisor);
    }
};

}  // namespace flowfar::cuda
