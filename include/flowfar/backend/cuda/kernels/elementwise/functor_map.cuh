#pragma once

/// The functors of core/functor.hpp as functions of elements of any type: widened, computed, rounded.

#include "flowfar/backend/cuda/runtime/compute.cuh"
#include "flowfar/backend/cuda/runtime/device.cuh"
#include "flowfar/core/functors/functor.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar::cuda {

template <class T, UnaryOp Op>
struct UnaryMap {
    using C = Compute<T>;
    C a;
    C b;

    __device__ __forceinline__ T operator()(T x) const {
        return convert<T>(UnaryFunctor<Op>::forward(convert<C>(x), a, b));
    }
};

/// The derivative's operands are the cotangent and, where it needs one, the input or the output.
template <class T, UnaryOp Op>
struct UnaryGradientMap {
    using C = Compute<T>;
    C a;
    C b;

    __device__ __forceinline__ T operator()(T g, T state) const {
        const C s = convert<C>(state);
        return convert<T>(UnaryFunctor<Op>::backward(s, s, convert<C>(g), a, b));
    }
    __device__ __forceinline__ T operator()(T g) const {
        return convert<T>(UnaryFunctor<Op>::backward(C(0), C(0), convert<C>(g), a, b));
    }
};

template <class T, BinaryOp Op>
struct BinaryMap {
    __device__ __forceinline__ T operator()(T x, T y) const {
        using C = Compute<T>;
        return convert<T>(BinaryFunctor<Op>::forward(convert<C>(x), convert<C>(y)));
    }
};

template <class T, BinaryOp Op, Operand Of>
struct BinaryGradientMap {
    __device__ __forceinline__ T operator()(T x, T y, T z, T g) const {
        using C = Compute<T>;
        if constexpr (Of == Operand::first) {
            return convert<T>(BinaryFunctor<Op>::grad_a(convert<C>(x), convert<C>(y), convert<C>(z), convert<C>(g)));
        } else {
            return convert<T>(BinaryFunctor<Op>::grad_b(convert<C>(x), convert<C>(y), convert<C>(z), convert<C>(g)));
        }
    }
};

/// x · (factor + extra) + addend
template <class T>
struct MultiplyAddMap {
    Compute<T> extra;

    __device__ __forceinline__ T operator()(T x, T factor, T addend) const {
        using C = Compute<T>;
        return convert<T>(convert<C>(x) * (convert<C>(factor) + extra) + convert<C>(addend));
    }
};

template <class T>
struct WhereMap {
    __device__ __forceinline__ T operator()(T condition, T x, T y) const {
        return convert<Compute<T>>(condition) != Compute<T>(0) ? x : y;
    }
};

}  // namespace flowfar::cuda
