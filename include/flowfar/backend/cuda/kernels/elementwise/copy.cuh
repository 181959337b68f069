#pragma once

/// Copies between views of any strides and element types, constants, and transfers between host and device.

#include "flowfar/backend/cuda/kernels/elementwise/map.cuh"
#include "flowfar/backend/cuda/runtime/runtime.cuh"

namespace flowfar::cuda {

template <class To, class From>
struct ConvertMap {
    __device__ __forceinline__ To operator()(From x) const { return convert<To>(x); }
};

template <class T>
struct FillMap {
    T value;

    __device__ __forceinline__ T operator()() const { return value; }
};

inline constexpr int transpose_tile = 32;
inline constexpr int transpose_rows = 8;  ///< rows of a tile that a block moves at a time

/// Where a transposition's matrices lie: [rows, columns] of the target, whose columns are neighbors there and whose
/// rows are neighbors in the source.
struct TransposePlan {
    Strided<2> matrices;  ///< target, source
    std::uint32_t rows = 0;
    std::uint32_t columns = 0;
    FastDivide row_tiles;
    FastDivide column_tiles;
    Index target_stride = 0;
    Index source_stride = 0;
};

/// Moves tiles through shared memory, so that both sides are read and written in whole lines.
template <class T>
__global__ void __launch_bounds__(transpose_tile* transpose_rows)
    transpose_kernel(TransposePlan plan, T* out, const T* in) {
    __shared__ T tile[transpose_tile][transpose_tile + 1];
    const std::uint32_t rest = plan.column_tiles.quotient(blockIdx.x);
    const std::uint32_t matrix = plan.row_tiles.quotient(rest);
    const std::uint32_t column = (blockIdx.x - rest * plan.column_tiles.divisor) * transpose_tile;
    const std::uint32_t row = (rest - matrix * plan.row_tiles.divisor) * transpose_tile;
    const auto at = plan.matrices.at(matrix);
    for (std::uint32_t i = threadIdx.y; i < transpose_tile; i += transpose_rows) {
        if (row + threadIdx.x < plan.rows && column + i < plan.columns) {
            tile[i][threadIdx.x] = in[at.of[1] + row + threadIdx.x + (column + i) * plan.source_stride];
        }
    }
    __syncthreads();
    for (std::uint32_t i = threadIdx.y; i < transpose_tile; i += transpose_rows) {
        if (row + i < plan.rows && column + threadIdx.x < plan.columns) {
            out[at.of[0] + column + threadIdx.x + (row + i) * plan.target_stride] = tile[threadIdx.x][i];
        }
    }
}

struct Copy {
    /// Copies source, broadcast and converted, into the elements of target.
    static void assign(const Handle& target, const Handle& source) {
        if (target.dtype == source.dtype) {
            switch (size_of(source.dtype)) {  // equal types are copied as bits
                case 1:
                    return bits<std::uint8_t>(target, source);
                case 2:
                    return bits<std::uint16_t>(target, source);
                case 4:
                    return bits<std::uint32_t>(target, source);
                default:
                    return bits<std::uint64_t>(target, source);
            }
        }
        visit_dtype(target.dtype, [&]<class To>() {
            visit_dtype(source.dtype, [&]<class From>() {
                if constexpr (!std::is_same_v<To, From>) {
                    map(ConvertMap<To, From>{}, View<To>::of(target), View<const From>::of(source, target.extents()));
                }
            });
        });
    }

    static void fill(const Handle& target, double value) {
        visit_dtype(target.dtype, [&]<class T>() { map(FillMap<T>{convert<T>(value)}, View<T>::of(target)); });
    }

    /// Writes a contiguous tensor to host memory and waits for that.
    static void to_host(const Handle& source, void* data) {
        if (source.count() > 0) {
            const std::byte* const from = source.storage.get() + source.layout.offset * Index(size_of(source.dtype));
            check(cudaMemcpyAsync(data, from, bytes(source), cudaMemcpyDeviceToHost, current_stream()), "to_host");
            check(cudaStreamSynchronize(current_stream()), "to_host");
        }
    }

   private:
    [[nodiscard]] static std::size_t bytes(const Handle& h) {
        return static_cast<std::size_t>(h.count()) * size_of(h.dtype);
    }

    template <class T>
    static void bits(const Handle& target, const Handle& source) {
        View<T> to = {target.data<T>(), with_row_axis(target.layout)};
        View<const T> from = {source.data<T>(), with_row_axis(expanded(source.layout, target.extents()))};
        if (!transpose(to, from)) {
            map(ConvertMap<T, T>{}, to, from);
        }
    }

    /// Moves matrices that lie in opposite orders on the two sides; false if these do not.
    template <class T>
    static bool transpose(View<T> to, View<const T> from) {
        sort_axes<2>({&to.layout, &from.layout});
        merge_axes<2>({&to.layout, &from.layout});
        const int inner = to.layout.rank() - 1;
        int other = -1;
        for (int axis = 0; axis < inner; ++axis) {
            other = from.layout.stride(axis) == 1 && from.layout.extents[axis] > 1 ? axis : other;
        }
        if (other < 0 || to.layout.stride(inner) != 1 || from.layout.stride(inner) == 0 ||
            to.layout.extents[inner] < 8 || to.layout.extents[other] < 8 || to.layout.count() > count_limit) {
            return false;
        }
        TransposePlan plan;
        const Index rows = to.layout.extents[other];
        const Index columns = to.layout.extents[inner];
        const Index row_tiles = (rows + transpose_tile - 1) / transpose_tile;
        const Index column_tiles = (columns + transpose_tile - 1) / transpose_tile;
        plan.rows = static_cast<std::uint32_t>(rows);
        plan.columns = static_cast<std::uint32_t>(columns);
        plan.row_tiles = FastDivide::by(row_tiles);
        plan.column_tiles = FastDivide::by(column_tiles);
        plan.target_stride = to.layout.stride(other);
        plan.source_stride = from.layout.stride(inner);
        to.layout.extents[other] = to.layout.extents[inner] = 1;
        from.layout.extents[other] = from.layout.extents[inner] = 1;
        plan.matrices = Strided<2>::of({&to.layout, &from.layout});
        const Index blocks = row_tiles * column_tiles * to.layout.count();
        if (blocks > 0) {
            launch(transpose_kernel<T>, dim3(static_cast<unsigned>(blocks)), dim3(transpose_tile, transpose_rows), 0,
                   plan, to.data, from.data);
        }
        return true;
    }
};

/// A new tensor with undefined elements.
[[nodiscard]] inline Handle empty(const Extents& extents, DType dtype) {
    const auto count = static_cast<std::size_t>(std::max<Index>(extents.count(), 1));
    return {contiguous_layout(extents), dtype, allocate(count * size_of(dtype))};
}
/// The tensor itself if its elements lie in row-major order without gaps, else a copy that does.
[[nodiscard]] inline Handle contiguous(const Handle& h) {
    if (is_contiguous(h.layout)) {
        return h;
    }
    const Handle out = empty(h.extents(), h.dtype);
    Copy::assign(out, h);
    return out;
}

}  // namespace flowfar::cuda
