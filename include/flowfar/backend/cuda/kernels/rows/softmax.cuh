#pragma once

/// Softmax and log-softmax over the last axis, and their gradients from the output.

#include <limits>

#include "flowfar/backend/cuda/kernels/rows/thread_rows.cuh"
#include "flowfar/core/op_options.hpp"

namespace flowfar::cuda {

template <class Row>
__global__ void __launch_bounds__(row_threads<Row>)
    softmax_kernel(typename Row::T* y, const typename Row::T* x, Index rows, int columns, SoftmaxKind kind) {
    using C = typename Row::C;
    const Index r = own_row<Row>(rows);
    const Row row(x + r * columns, columns);
    C peak = -std::numeric_limits<C>::infinity();
    row.each([&](int /*column*/, C value) { peak = Largest{}(peak, value); });
    peak = group_max<Row::threads>(peak);
    C sum = 0;
    row.each([&](int /*column*/, C value) { sum += std::exp(value - peak); });
    sum = group_sum<Row::threads>(sum);
    typename Row::T* const to = y + r * columns;
    if (kind == SoftmaxKind::logarithms) {
        const C shift = std::log(sum);
        row.store(to, [&](int /*column*/, C value) { return (value - peak) - shift; });
    } else {
        const C share = C(1) / sum;
        row.store(to, [&](int /*column*/, C value) { return std::exp(value - peak) * share; });
    }
}

/// dx = y ∘ (g − Σ g ∘ y), or of the logarithm g − e^y Σ g.
template <class Row>
__global__ void __launch_bounds__(row_threads<Row>)
    softmax_backward_kernel(typename Row::T* dx, const typename Row::T* y, const typename Row::T* g, Index rows,
                            int columns, SoftmaxKind kind) {
    using C = typename Row::C;
    const bool logarithm = kind == SoftmaxKind::logarithms;
    const Index r = own_row<Row>(rows);
    const Row output(y + r * columns, columns);
    const Row cotangent(g + r * columns, columns);
    C sum = 0;
    output.each(cotangent, [&](int /*column*/, C value, C slope) { sum += logarithm ? slope : slope * value; });
    sum = group_sum<Row::threads>(sum);
    output.store(cotangent, dx + r * columns, [&](int /*column*/, C value, C slope) {
        return logarithm ? slope - std::exp(value) * sum : value * (slope - sum);
    });
}

/// All operands are contiguous.
struct Softmax {
    static void forward(const Handle& y, const Handle& x, SoftmaxKind kind) {
        visit(x, has_packed_rows(x), [&]<class T, class Row>(Index rows, int columns) {
            launch(softmax_kernel<Row>, row_grid<Row>(rows), row_block<Row>(), 0, y.data<T>(), x.data<T>(), rows,
                   columns, kind);
        });
    }
    static void backward(const Handle& dx, const Handle& y, const Handle& g, SoftmaxKind kind) {
        visit(y, has_packed_rows(y) && has_packed_rows(g), [&]<class T, class Row>(Index rows, int columns) {
            launch(softmax_backward_kernel<Row>, row_grid<Row>(rows), row_block<Row>(), 0, dx.data<T>(), y.data<T>(),
                   g.data<T>(), rows, columns, kind);
        });
    }

   private:
    template <class F>
    static void visit(const Handle& x, bool packed, F&& f) {
        if (x.count() == 0) {
            return;
        }
        const Index columns = x.rank() == 0 ? 1 : x.extents().back();
        visit_float(x.dtype, "softmax", [&]<class T>() {
            visit_row<T>(columns, packed, [&]<class Row>() {
                f.template operator()<T, Row>(x.count() / columns, static_cast<int>(columns));
            });
        });
    }
};

}  // namespace flowfar::cuda
