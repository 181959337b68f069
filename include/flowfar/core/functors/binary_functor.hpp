#pragma once

/// The arithmetic of every elementwise operation of two tensors and of its derivatives, written once for host and
/// device.

#include <cmath>

#include "flowfar/config.hpp"
#include "flowfar/core/functors/elementwise_op.hpp"

namespace flowfar {

/// `forward(a, b)` gives y; `grad_a(a, b, y, g)` and `grad_b(a, b, y, g)` give dL/da and dL/db from the inputs, the
/// output and the cotangent g = dL/dy.
template <BinaryOp Op>
struct BinaryFunctor;

template <>
struct BinaryFunctor<BinaryOp::add> {
    template <class T>
    FLOWFAR_HD static T forward(T a, T b) {
        return a + b;
    }
    /// 1
    template <class T>
    FLOWFAR_HD static T grad_a(T /*a*/, T /*b*/, T /*y*/, T g) {
        return g;
    }
    /// 1
    template <class T>
    FLOWFAR_HD static T grad_b(T /*a*/, T /*b*/, T /*y*/, T g) {
        return g;
    }
};

template <>
struct BinaryFunctor<BinaryOp::sub> {
    template <class T>
    FLOWFAR_HD static T forward(T a, T b) {
        return a - b;
    }
    /// 1
    template <class T>
    FLOWFAR_HD static T grad_a(T /*a*/, T /*b*/, T /*y*/, T g) {
        return g;
    }
    /// -1
    template <class T>
    FLOWFAR_HD static T grad_b(T /*a*/, T /*b*/, T /*y*/, T g) {
        return -g;
    }
};

template <>
struct BinaryFunctor<BinaryOp::mul> {
    template <class T>
    FLOWFAR_HD static T forward(T a, T b) {
        return a * b;
    }
    /// b
    template <class T>
    FLOWFAR_HD static T grad_a(T /*a*/, T b, T /*y*/, T g) {
        return g * b;
    }
    /// a
    template <class T>
    FLOWFAR_HD static T grad_b(T a, T /*b*/, T /*y*/, T g) {
        return g * a;
    }
};

template <>
struct BinaryFunctor<BinaryOp::div> {
    template <class T>
    FLOWFAR_HD static T forward(T a, T b) {
        return a / b;
    }
    /// 1 / b
    template <class T>
    FLOWFAR_HD static T grad_a(T /*a*/, T b, T /*y*/, T g) {
        return g / b;
    }
    /// -a / b^2 = -y / b
    template <class T>
    FLOWFAR_HD static T grad_b(T /*a*/, T b, T y, T g) {
        return -g * y / b;
    }
};

template <>
struct BinaryFunctor<BinaryOp::max> {
    template <class T>
    FLOWFAR_HD static T forward(T a, T b) {
        return (a > b) || a != a ? a : b;
    }
    /// 1 where a is larger; a tie shares the cotangent equally
    template <class T>
    FLOWFAR_HD static T grad_a(T a, T b, T /*y*/, T g) {
        return a > b ? g : (a == b ? T(0.5) * g : T(0));
    }
    /// 1 where b is larger; a tie shares the cotangent equally
    template <class T>
    FLOWFAR_HD static T grad_b(T a, T b, T /*y*/, T g) {
        return a < b ? g : (a == b ? T(0.5) * g : T(0));
    }
};

namespace detail {

/// Functions whose slope is 0 wherever it is defined.
struct Flat {
    template <class T>
    FLOWFAR_HD static T grad_a(T /*a*/, T /*b*/, T /*y*/, T /*g*/) {
        return T(0);
    }
    template <class T>
    FLOWFAR_HD static T grad_b(T /*a*/, T /*b*/, T /*y*/, T /*g*/) {
        return T(0);
    }
};

}  // namespace detail

template <>
struct BinaryFunctor<BinaryOp::equal> : detail::Flat {
    template <class T>
    FLOWFAR_HD static T forward(T a, T b) {
        return a == b ? T(1) : T(0);
    }
};

template <>
struct BinaryFunctor<BinaryOp::less> : detail::Flat {
    template <class T>
    FLOWFAR_HD static T forward(T a, T b) {
        return a < b ? T(1) : T(0);
    }
};

template <>
struct BinaryFunctor<BinaryOp::greater> : detail::Flat {
    template <class T>
    FLOWFAR_HD static T forward(T a, T b) {
        return a > b ? T(1) : T(0);
    }
};

}  // namespace flowfar
