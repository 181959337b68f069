#pragma once

/// Elementwise operations of two and three tensors and their derivatives.

#include "flowfar/backend/cuda/kernels/elementwise/functor_map.cuh"
#include "flowfar/backend/cuda/kernels/elementwise/map.cuh"
#include "flowfar/core/op_options.hpp"

namespace flowfar::cuda {

/// `out` has the result's extents, the operands broadcast to them.
namespace loops {

inline void binary(const Handle& out, BinaryOp op, const Handle& x, const Handle& y) {
    visit_float(out.dtype, "binary", [&]<class T>() {
        visit_binary(op, [&]<BinaryOp Op>() {
            map(BinaryMap<T, Op>{}, View<T>::of(out), View<const T>::of(x, out.extents()),
                View<const T>::of(y, out.extents()));
        });
    });
}

inline void binary_backward(const Handle& out, BinaryOp op, Operand operand, const Handle& x, const Handle& y,
                            const Handle& z, const Handle& g) {
    visit_float(out.dtype, "binary", [&]<class T>() {
        visit_binary(op, [&]<BinaryOp Op>() {
            const auto run = [&](auto f) {
                map(f, View<T>::of(out), View<const T>::of(x, out.extents()), View<const T>::of(y, out.extents()),
                    View<const T>::of(z, out.extents()), View<const T>::of(g));
            };
            if (operand == Operand::first) {
                run(BinaryGradientMap<T, Op, Operand::first>{});
            } else {
                run(BinaryGradientMap<T, Op, Operand::second>{});
            }
        });
    });
}

inline void where(const Handle& out, const Handle& condition, const Handle& x, const Handle& y) {
    visit_float(out.dtype, "where", [&]<class T>() {
        map(WhereMap<T>{}, View<T>::of(out), View<const T>::of(condition, out.extents()),
            View<const T>::of(x, out.extents()), View<const T>::of(y, out.extents()));
    });
}

inline void multiply_add(const Handle& out, const Handle& x, const Handle& factor, const Handle& addend,
                         FactorKind kind) {
    visit_float(out.dtype, "multiply_add", [&]<class T>() {
        map(MultiplyAddMap<T>{kind == FactorKind::plus_one ? Compute<T>(1) : Compute<T>(0)}, View<T>::of(out),
            View<const T>::of(x, out.extents()), View<const T>::of(factor, out.extents()),
            View<const T>::of(addend, out.extents()));
    });
}

}  // namespace loops

}  // namespace flowfar::cuda
