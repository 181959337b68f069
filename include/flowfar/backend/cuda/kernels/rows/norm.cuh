#pragma once

/// Layer norm and RMS norm with optional scale and shift, which are one row for all or one per batch element, and
/// their gradients. f32 and bf16; f64 is served by the default definitions.

#include "flowfar/backend/cuda/kernels/rows/reduce.cuh"
#include "flowfar/backend/cuda/kernels/rows/thread_rows.cuh"
#include "flowfar/core/op_options.hpp"

namespace flowfar::cuda {

/// A [C] or [batch, C] operand: row r of x reads row r / rows_per_group of it. Absent if data is null.
template <class T>
struct PerRow {
    const T* data = nullptr;
    FastDivide rows_per_group;
    Index stride = 0;

    [[nodiscard]] __device__ __forceinline__ const T* row(Index r) const {
        return data == nullptr
                   ? data
                   : data + static_cast<Index>(rows_per_group.quotient(static_cast<std::uint32_t>(r))) * stride;
    }

    /// Throws unless the operand (with dense rows, or undefined) fits x.
    [[nodiscard]] static PerRow of(const Handle& operand, const Extents& x) {
        if (!operand.defined()) {
            return {};
        }
        const Extents& e = operand.extents();
        require(e.back() == x.back() && (e.rank() == 1 || (e.rank() == 2 && (e[0] == x[0] || e[0] == 1))),
                "norm: scale or shift ", e, " for input ", x);
        const bool repeated = e.rank() == 1 || e[0] == 1;
        return {operand.data<T>(), FastDivide::by(row_count(x) / groups(operand)),
                repeated ? 0 : operand.layout.stride(0)};
    }
    /// Whether all rows begin at multiples of 16 bytes.
    [[nodiscard]] bool is_packed() const {
        return data == nullptr || (is_aligned(data, 16) && stride % pack_size<T> == 0);
    }
    /// Rows of an operand that may be undefined.
    [[nodiscard]] static Index groups(const Handle& operand) {
        return operand.defined() && operand.rank() == 2 ? std::max<Index>(operand.extents()[0], 1) : 1;
    }
};

/// A row's mean and 1 / sqrt(variance + ε); RMS norm has mean 0.
template <class C>
struct RowStatistics {
    C mean;
    C rstd;
};

template <class Row, class C = typename Row::C>
__device__ __forceinline__ RowStatistics<C> row_statistics(const Row& row, int columns, C epsilon, NormKind kind) {
    const C count = static_cast<C>(columns);
    C mean = 0;
    if (kind == NormKind::layer) {
        row.each([&](int /*column*/, C value) { mean += value; });
        mean = group_sum<Row::threads>(mean) / count;
    }
    C squares = 0;
    row.each([&](int /*column*/, C value) { squares += (value - mean) * (value - mean); });
    squares = group_sum<Row::threads>(squares);
    return {mean, C(1) / std::sqrt(squares / count + epsilon)};
}

/// What the kernels know of a normalization beside its operands.
struct NormShape {
    Index rows = 0;
    int columns = 0;
    float epsilon = 0;
    float extra = 0;  ///< added to the scale: 1 for modulation
    NormKind kind = NormKind::layer;
};

template <class Row>
__global__ void __launch_bounds__(row_threads<Row>)
    norm_kernel(NormShape shape, typename Row::T* y, Strided<1> lines, const typename Row::T* x,
                PerRow<typename Row::T> scale, PerRow<typename Row::T> shift) {
    using C = typename Row::C;
    const Index r = own_row<Row>(shape.rows);
    const Row row(x + lines.at(static_cast<std::uint32_t>(r)).of[0], shape.columns);
    const auto [mean, rstd] = row_statistics(row, shape.columns, static_cast<C>(shape.epsilon), shape.kind);
    const C extra = scale.data == nullptr ? C(0) : static_cast<C>(shape.extra);
    row.store_with(y + r * shape.columns, scale.row(r), shift.row(r), C(1),
                   [&](C value, C gain, C offset) { return (value - mean) * rstd * (gain + extra) + offset; });
}

/// With n the normalized row and h = g ∘ scale: dx = rstd (h − mean(h) − n mean(h n)); RMS norm lacks mean(h). Keeps
/// the rows' statistics for the gradients of scale and shift.
template <class Row>
__global__ void __launch_bounds__(row_threads<Row>)
    norm_backward_kernel(NormShape shape, typename Row::T* dx, RowStatistics<typename Row::C>* statistics,
                         Strided<2> lines, const typename Row::T* x, const typename Row::T* g,
                         PerRow<typename Row::T> scale) {
    using T = typename Row::T;
    using C = typename Row::C;
    const Index r = own_row<Row>(shape.rows);
    const auto at = lines.at(static_cast<std::uint32_t>(r));
    const Row row(x + at.of[0], shape.columns);
    const Row cotangent(g + at.of[1], shape.columns);
    const auto found = row_statistics(row, shape.columns, static_cast<C>(shape.epsilon), shape.kind);
    const C mean = found.mean;
    const C rstd = found.rstd;
    const T* const gain = scale.row(r);
    const auto scaled = [&](int column, C slope) {
        return gain == nullptr ? slope : slope * (convert<C>(gain[column]) + shape.extra);
    };
    C sum = 0;
    C products = 0;
    row.each(cotangent, [&](int column, C value, C slope) {
        const C h = scaled(column, slope);
        sum += h;
        products += h * ((value - mean) * rstd);
    });
    const C count = static_cast<C>(shape.columns);
    const C mean_h = shape.kind == NormKind::layer ? group_sum<Row::threads>(sum) / count : C(0);
    const C mean_hn = group_sum<Row::threads>(products) / count;
    row.store(cotangent, dx + r * shape.columns, [&](int column, C value, C slope) {
        return rstd * (scaled(column, slope) - mean_h - (value - mean) * rstd * mean_hn);
    });
    if (threadIdx.x == 0 && statistics != nullptr) {
        statistics[r] = found;
    }
}

inline constexpr int norm_columns = 32;  ///< columns that a block of `norm_sums_kernel` owns
inline constexpr int norm_lines = 8;     ///< rows that it reads at a time
inline constexpr Index norm_piece = 64;  ///< rows that it sums

/// Sums of g ∘ n and of g over pieces of the rows of each group: scale_sums and shift_sums [groups, pieces, columns];
/// an unwanted one is null.
template <class T>
__global__ void __launch_bounds__(norm_columns* norm_lines)
    norm_sums_kernel(NormShape shape, Compute<T>* scale_sums, Compute<T>* shift_sums,
                     const RowStatistics<Compute<T>>* statistics, Strided<2> lines, const T* x, const T* g,
                     Index rows_per_group, FastDivide pieces, FastDivide tiles) {
    using C = Compute<T>;
    __shared__ C partial[2][norm_lines][norm_columns];
    const std::uint32_t rest = tiles.quotient(blockIdx.x);
    const std::uint32_t group = pieces.quotient(rest);
    const int column = static_cast<int>((blockIdx.x - rest * tiles.divisor) * norm_columns + threadIdx.x);
    const Index begin = static_cast<Index>(rest - group * pieces.divisor) * norm_piece;
    const Index end = begin + norm_piece < rows_per_group ? begin + norm_piece : rows_per_group;
    C products = 0;
    C sum = 0;
    if (column < shape.columns) {
        for (Index line = begin + threadIdx.y; line < end; line += norm_lines) {
            const Index r = group * rows_per_group + line;
            const auto at = lines.at(static_cast<std::uint32_t>(r));
            const RowStatistics<C> found = statistics[r];
            const C slope = convert<C>(g[at.of[1] + column]);
            products += slope * ((convert<C>(x[at.of[0] + column]) - found.mean) * found.rstd);
            sum += slope;
        }
    }
    partial[0][threadIdx.y][threadIdx.x] = products;
    partial[1][threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    C* const out = threadIdx.y == 0 ? scale_sums : shift_sums;
    if (threadIdx.y < 2 && out != nullptr && column < shape.columns) {
        C total = 0;
        for (int line = 0; line < norm_lines; ++line) {
            total += partial[threadIdx.y][line][threadIdx.x];
        }
        out[static_cast<Index>(rest) * shape.columns + column] = total;
    }
}

struct Norm {
    /// x has dense rows, as scale and shift have where they are defined; y is contiguous.
    template <class T>
    static void forward(const Handle& y, const Handle& x, const Handle& scale, const Handle& shift, NormOptions options,
                        NormKind kind) {
        const PerRow<T> gains = PerRow<T>::of(scale, x.extents());
        const PerRow<T> offsets = PerRow<T>::of(shift, x.extents());
        if (x.count() == 0) {
            return;
        }
        const NormShape shape = shape_of(x, options, kind);
        const bool packed = has_packed_rows(x) && gains.is_packed() && offsets.is_packed();
        visit_row<T, WarpRows::of_1536>(x.extents().back(), packed, [&]<class Row>() {
            launch(norm_kernel<Row>, row_grid<Row>(shape.rows), row_block<Row>(), 0, shape, y.data<T>(),
                   Strided<1>::of({&x.layout}, 1), x.data<T>(), gains, offsets);
        });
    }

    /// x, g and scale have dense rows. dx, and d_scale and d_shift where defined, are contiguous and shaped like the
    /// operands.
    template <class T>
    static void backward(const Handle& dx, const Handle& d_scale, const Handle& d_shift, const Handle& x,
                         const Handle& scale, const Handle& g, NormOptions options, NormKind kind) {
        using C = Compute<T>;
        const PerRow<T> gains = PerRow<T>::of(scale, x.extents());
        static_cast<void>(PerRow<T>::of(d_shift, x.extents()));
        require(g.extents() == x.extents(), "norm: input ", x.extents(), ", gradient ", g.extents());
        const NormShape shape = shape_of(x, options, kind);
        std::shared_ptr<std::byte> scratch;
        RowStatistics<C>* statistics = nullptr;
        if (d_scale.defined() || d_shift.defined()) {
            scratch = allocate(static_cast<std::size_t>(shape.rows) * sizeof(RowStatistics<C>));
            statistics = reinterpret_cast<RowStatistics<C>*>(scratch.get());
        }
        const Strided<2> lines = Strided<2>::of({&x.layout, &g.layout}, 1);
        if (x.count() > 0) {
            const bool packed = has_packed_rows(x) && has_packed_rows(g);
            visit_row<T, WarpRows::of_1536>(x.extents().back(), packed, [&]<class Row>() {
                launch(norm_backward_kernel<Row>, row_grid<Row>(shape.rows), row_block<Row>(), 0, shape, dx.data<T>(),
                       statistics, lines, x.data<T>(), g.data<T>(), gains);
            });
        }
        if (d_scale.defined() && d_shift.defined() && PerRow<T>::groups(d_scale) == PerRow<T>::groups(d_shift)) {
            sums<T>(shape, d_scale, d_shift, statistics, lines, x, g);
        } else {
            sums<T>(shape, d_scale, Handle{}, statistics, lines, x, g);
            sums<T>(shape, Handle{}, d_shift, statistics, lines, x, g);
        }
    }

   private:
    [[nodiscard]] static NormShape shape_of(const Handle& x, NormOptions options, NormKind kind) {
        require(row_count(x.extents()) <= count_limit, "norm: ", row_count(x.extents()), " rows");
        return {row_count(x.extents()), static_cast<int>(x.extents().back()), static_cast<float>(options.epsilon),
                options.plus_one ? 1.0F : 0.0F, kind};
    }

    /// Fills d_scale and d_shift where they are defined; both have the same number of groups.
    template <class T>
    static void sums(const NormShape& shape, const Handle& d_scale, const Handle& d_shift,
                     const RowStatistics<Compute<T>>* statistics, const Strided<2>& lines, const Handle& x,
                     const Handle& g) {
        using C = Compute<T>;
        const Handle& operand = d_scale.defined() ? d_scale : d_shift;
        if (!operand.defined() || operand.count() == 0) {
            return;
        }
        const Index groups = PerRow<T>::groups(operand);
        const Index rows_per_group = shape.rows / groups;
        const Index pieces = std::max<Index>(1, (rows_per_group + norm_piece - 1) / norm_piece);
        const Index tiles = (shape.columns + norm_columns - 1) / norm_columns;
        const auto part = static_cast<std::size_t>(groups * pieces * shape.columns);
        const std::shared_ptr<std::byte> scratch = allocate(2 * part * sizeof(C));
        C* const sums = reinterpret_cast<C*>(scratch.get());
        launch(norm_sums_kernel<T>, dim3(blocks_for(groups * pieces * tiles, 1)), dim3(norm_columns, norm_lines), 0,
               shape, d_scale.defined() ? sums : nullptr, d_shift.defined() ? sums + part : nullptr, statistics, lines,
               x.data<T>(), g.data<T>(), rows_per_group, FastDivide::by(pieces), FastDivide::by(tiles));
        const auto collect = [&](const Handle& out, const C* from) {
            if (out.defined() && out.count() > 0) {  // of an empty batch, one of the two may be empty
                Reduce::run<ReduceOp::sum>(out.data<T>(), from, groups, pieces, shape.columns, C(1));
            }
        };
        collect(d_scale, sums);
        collect(d_shift, sums + part);
    }
};

}  // namespace flowfar::cuda
