#pragma once

/// Reductions and softmax of a backend against the reference.

#include "twin.hpp"

namespace flowfar::testing {

inline constexpr ReduceOp reduce_ops[] = {ReduceOp::sum, ReduceOp::mean, ReduceOp::max, ReduceOp::sum_squares};

/// Every operation over every set of axes, kept and dropped. The numbers are positive: a sum near zero would only test
/// cancellation.
template <class B>
void check_reduce(DType dtype) {
    Maker<B> make(dtype, 201);
    const Extents shapes[] = {{},        {1},          {31},           {32},     {33},   {5, 31},
                              {4, 3, 9}, {3, 5, 2, 7}, {1, 33, 1, 65}, {0},      {0, 3}, {3, 0},
                              {2, 3, 0}, {7, 130, 2},  {2, 200, 33},   {40, 300}};
    for (const Extents& shape : shapes) {
        const Twin<B> x = make.uniform(shape, 0.25, 1.0);
        Extents reversed;
        for (int axis = shape.rank() - 1; axis >= 0; --axis) {
            reversed.push_back(axis);
        }
        for (unsigned bits = 0; bits < (1U << shape.rank()); ++bits) {
            for (const ReduceOp op : reduce_ops) {
                for (const ReducedAxes reduced : {ReducedAxes::keep, ReducedAxes::drop}) {
                    const auto reduce = [=](auto b, const auto& h) { return b.reduce(op, h, Axes{bits}, reduced); };
                    const std::string name = text("reduce ", static_cast<int>(op), " of ", shape, ", axes ", bits);
                    const double tolerance = approx::of(dtype, shape.count());
                    agree<B>(name, make, tolerance, reduce, x);
                    agree<B>(name + " of a transposed view", make, tolerance, reduce, x.permute(reversed));
                }
            }
        }
    }
    const auto over_first = [](auto b, const auto& h) {
        return b.reduce(ReduceOp::sum, h, Axes::only(0), ReducedAxes::drop);
    };
    agree<B>("a broadcast view", make, approx::of(dtype, 50), over_first, make.uniform({1, 7}, 0.5, 1).expand({50, 7}));
    agree<B>("a slice", make, approx::of(dtype, 50), over_first, make.uniform({50, 9}, 0.5, 1).slice(1, 2, 5));
}

/// Lengths beyond one piece, with numbers of both signs and large offsets.
template <class B>
void check_long_reduce() {
    Maker<B> make(DType::f32, 202);
    for (const Extents& shape : {Extents{100000}, Extents{3, 70001}, Extents{70001, 3}, Extents{513, 200}}) {
        const Twin<B> x = make.uniform(shape, 99.0, 101.0);
        for (const unsigned bits : {1U, 2U, 3U}) {
            if (bits >= (1U << shape.rank())) {
                continue;
            }
            for (const ReduceOp op : reduce_ops) {
                agree<B>(
                    text("reduce ", static_cast<int>(op), " of ", shape, ", axes ", bits), make, approx::f32,
                    [=](auto b, const auto& h) { return b.reduce(op, h, Axes{bits}, ReducedAxes::drop); }, x);
            }
        }
    }
}

template <class B>
void check_softmax(DType dtype) {
    Maker<B> make(dtype, 203);
    const auto softmax = [](auto b, const auto& x) { return b.softmax(x); };
    const auto log_softmax = [](auto b, const auto& x) { return b.log_softmax(x); };
    const auto backward = [](auto b, const auto& x, const auto& g) { return b.softmax_backward(b.softmax(x), g); };
    const auto log_backward = [](auto b, const auto& x, const auto& g) {
        return b.log_softmax_backward(b.log_softmax(x), g);
    };
    for (const Extents& shape : {Extents{1}, Extents{1, 1}, Extents{7, 31}, Extents{3, 4, 33}, Extents{0, 5},
                                 Extents{5, 0}, Extents{2, 3, 4, 32}, Extents{3000, 16}, Extents{3, 20000}}) {
        const double tolerance = 4.0 * approx::of(dtype, shape.back());
        const Twin<B> x = make.uniform(shape, -5.0, 5.0);
        const Twin<B> g = make.uniform(shape);
        agree<B>(text("softmax of ", shape), make, tolerance, softmax, x);
        agree<B>(text("log-softmax of ", shape), make, tolerance, log_softmax, x);
        if (shape.back() > 1) {  // over one element both gradients are exactly zero: rounding is all there is
            agree<B>(text("softmax backward of ", shape), make, 4.0 * tolerance, backward, x, g);
            agree<B>(text("log-softmax backward of ", shape), make, 4.0 * tolerance, log_backward, x, g);
        }
    }
    const double tolerance = 16.0 * approx::of(dtype, 33);
    const Twin<B> wide = make.uniform({33, 4, 6}, -3.0, 3.0);
    const Twin<B> g = make.uniform({1, 4, 33});
    agree<B>("softmax of a view", make, tolerance, softmax, wide.permute({2, 1, 0}));
    agree<B>("softmax backward of views", make, tolerance, backward, wide.permute({2, 1, 0}), g.expand({6, 4, 33}));
    agree<B>("log-softmax backward of views", make, tolerance, log_backward, wide.permute({2, 1, 0}),
             g.expand({6, 4, 33}));
    // Shifts that would overflow the exponential, and masked entries.
    const double hidden = -std::numeric_limits<double>::infinity();
    const Twin<B> extreme = make.from({1000.0, 1001.0, 999.0, -1000.0, -1000.0, -1002.0, hidden, 0.5, hidden}, {3, 3});
    agree<B>("softmax of extremes", make, tolerance, softmax, extreme);
    agree<B>("log-softmax of extremes", make, tolerance, log_softmax, extreme);
}

}  // namespace flowfar::testing
