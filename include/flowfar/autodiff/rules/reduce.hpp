#pragma once

#include "flowfar/autodiff/record.hpp"

namespace flowfar::rules {

/// Reductions and softmax on tracked handles.
template <PlainBackend B>
struct Reduce {
    using Handle = Tracked<B>;
    using H = typename B::Handle;

    /// The gradient of a maximum goes in equal parts to all elements that attain it.
    [[nodiscard]] static Handle reduce(ReduceOp op, const Handle& x, Axes axes, ReducedAxes reduced) {
        H y = B::reduce(op, x.value, axes, reduced);
        const Extents from = B::extents(x.value);
        Extents kept = from;
        Index count = 1;
        for (int axis = 0; axis < from.rank(); ++axis) {
            if (axes.contains(axis)) {
                count *= from[axis];
                kept[axis] = 1;
            }
        }
        const H saved_x = op == ReduceOp::max || op == ReduceOp::sum_squares ? x.value : H{};
        const H saved_y = op == ReduceOp::max ? y : H{};
        return record<B>(std::move(y), {&x},
                         [op, axes, from, kept, count, saved_x, saved_y](const H& g, const Cotangents<B>& grads) {
                             H spread = B::reshape(g, kept);
                             if (op == ReduceOp::mean) {
                                 spread = B::unary({UnaryOp::affine, 1.0 / static_cast<double>(count), 0.0}, spread);
                             } else if (op == ReduceOp::sum_squares) {
                                 const H twice = B::unary({UnaryOp::affine, 2.0, 0.0}, spread);
                                 grads.add(0, B::binary(BinaryOp::mul, saved_x, twice));
                                 return;
                             } else if (op == ReduceOp::max) {
                                 const H hit = B::binary(BinaryOp::equal, saved_x, B::reshape(saved_y, kept));
                                 const H share = B::binary(BinaryOp::div, spread,
                                                           B::reduce(ReduceOp::sum, hit, axes, ReducedAxes::keep));
                                 grads.add(0, B::binary(BinaryOp::mul, hit, share));
                                 return;
                             }
                             grads.add(0, B::expand(spread, from));
                         });
    }

    [[nodiscard]] static Handle softmax(const Handle& x) {
        H y = B::softmax(x.value);
        const H saved = y;
        return record<B>(std::move(y), {&x}, [saved](const H& g, const Cotangents<B>& grads) {
            grads.add(0, B::softmax_backward(saved, g));
        });
    }
    [[nodiscard]] static Handle log_softmax(const Handle& x) {
        H y = B::log_softmax(x.value);
        const H saved = y;
        return record<B>(std::move(y), {&x}, [saved](const H& g, const Cotangents<B>& grads) {
            grads.add(0, B::log_softmax_backward(saved, g));
        });
    }
};

}  // namespace flowfar::rules
