#pragma once

/// Elementwise operations of one tensor and their derivatives.

#include "flowfar/backend/cuda/kernels/elementwise/functor_map.cuh"
#include "flowfar/backend/cuda/kernels/elementwise/map.cuh"
#include "flowfar/core/op_options.hpp"

namespace flowfar::cuda {

/// `out` has the result's extents, the operands broadcast to them.
namespace loops {

inline void unary(const Handle& out, Unary op, const Handle& x) {
    visit_float(out.dtype, "unary", [&]<class T>() {
        visit_unary(op.op, [&]<UnaryOp Op>() {
            using C = Compute<T>;
            map(UnaryMap<T, Op>{static_cast<C>(op.a), static_cast<C>(op.b)}, View<T>::of(out),
                View<const T>::of(x, out.extents()));
        });
    });
}

/// `state` is the input or the output, whichever the derivative reads.
inline void unary_backward(const Handle& out, Unary op, const Handle& state, const Handle& g) {
    visit_float(out.dtype, "unary", [&]<class T>() {
        visit_unary(op.op, [&]<UnaryOp Op>() {
            using C = Compute<T>;
            const UnaryGradientMap<T, Op> f{static_cast<C>(op.a), static_cast<C>(op.b)};
            const View<const T> cotangent = View<const T>::of(g);
            if constexpr (backward_uses_input(Op) || backward_uses_output(Op)) {
                map(f, View<T>::of(out), cotangent, View<const T>::of(state, out.extents()));
            } else {
                map(f, View<T>::of(out), cotangent);
            }
        });
    });
}

}  // namespace loops

}  // namespace flowfar::cuda
