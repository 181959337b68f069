#pragma once

/// `Cuda`'s reductions, softmax, normalizations and rotary embedding.

#include "flowfar/backend/cuda/kernels/rows/norm.cuh"
#include "flowfar/backend/cuda/kernels/rows/reduce.cuh"
#include "flowfar/backend/cuda/kernels/rows/rope.cuh"
#include "flowfar/backend/cuda/kernels/rows/softmax.cuh"
#include "flowfar/backend/cuda/ops/route.cuh"
#include "flowfar/core/shapes/reduce_shape.hpp"

namespace flowfar {

namespace cuda {

/// Softmax over the last axis.
inline Handle softmax_of(const Handle& x, SoftmaxKind kind) {
    return route(
        [kind](const Handle& h) {
            const Handle out = Cuda::empty(h.extents(), h.dtype);
            Softmax::forward(out, Cuda::contiguous(h), kind);
            return out;
        },
        x);
}
inline Handle softmax_gradient(const Handle& y, const Handle& g, SoftmaxKind kind) {
    return route(
        [kind](const Handle& output, const Handle& cotangent) {
            const Handle out = Cuda::empty(output.extents(), output.dtype);
            Softmax::backward(out, Cuda::contiguous(output), Cuda::contiguous(cotangent), kind);
            return out;
        },
        y, g);
}

/// Both norms.
inline Handle norm(const Handle& x, const Handle& scale, const Handle& shift, NormOptions options, NormKind kind) {
    const Handle out = Cuda::empty(x.extents(), x.dtype);
    visit_native(x.dtype, [&]<class T>() {
        Norm::forward<T>(out, Cuda::dense_rows(x), Cuda::dense_rows(scale), Cuda::dense_rows(shift), options, kind);
    });
    return out;
}
inline NormGradients<Handle> norm_gradient(const Handle& x, const Handle& scale, const Handle& shift, const Handle& g,
                                           NormOptions options, NormKind kind) {
    const NormGradients<Handle> out{Cuda::empty(x.extents(), x.dtype),
                                    scale.defined() ? Cuda::empty(scale.extents(), x.dtype) : Handle{},
                                    shift.defined() ? Cuda::empty(shift.extents(), x.dtype) : Handle{}};
    visit_native(x.dtype, [&]<class T>() {
        Norm::backward<T>(out.input, out.scale, out.shift, Cuda::dense_rows(x), Cuda::dense_rows(scale),
                          Cuda::dense_rows(g), options, kind);
    });
    return out;
}

}  // namespace cuda

Handle Cuda::reduce(ReduceOp op, const Handle& x, Axes axes, ReducedAxes reduced) {
    return cuda::route(
        [=](const Handle& h) {
            const ReduceShape shape = ReduceShape::of(h.extents(), axes, reduced);
            const Handle source = contiguous(shape.order.rank() == 0 ? h : permute(h, shape.order));
            const Handle out = empty(shape.result, h.dtype);
            visit_float(h.dtype, "reduce", [&]<class T>() {
                cuda::Reduce::block(out.data<T>(), static_cast<const T*>(source.data<T>()), shape.outer, shape.middle,
                                    shape.inner, op);
            });
            return out;
        },
        x);
}

Handle Cuda::softmax(const Handle& x) {
    return cuda::softmax_of(x, SoftmaxKind::probabilities);
}
Handle Cuda::log_softmax(const Handle& x) {
    return cuda::softmax_of(x, SoftmaxKind::logarithms);
}
Handle Cuda::softmax_backward(const Handle& y, const Handle& g) {
    return cuda::softmax_gradient(y, g, SoftmaxKind::probabilities);
}
Handle Cuda::log_softmax_backward(const Handle& y, const Handle& g) {
    return cuda::softmax_gradient(y, g, SoftmaxKind::logarithms);
}

Handle Cuda::layer_norm(const Handle& x, const Handle& scale, const Handle& shift, NormOptions options) {
    return cuda::route(
        [options](const Handle& hx, const Handle& hs, const Handle& hb) {
            return hx.dtype == DType::f64 ? Composite::layer_norm(hx, hs, hb, options)
                                          : cuda::norm(hx, hs, hb, options, NormKind::layer);
        },
        x, scale, shift);
}
NormGradients<Handle> Cuda::layer_norm_backward(const Handle& x, const Handle& scale, const Handle& shift,
                                                const Handle& g, NormOptions options) {
    return cuda::route(
        [options](const Handle& hx, const Handle& hs, const Handle& hb, const Handle& hg) {
            return hx.dtype == DType::f64 ? Composite::layer_norm_backward(hx, hs, hb, hg, options)
                                          : cuda::norm_gradient(hx, hs, hb, hg, options, NormKind::layer);
        },
        x, scale, shift, g);
}
Handle Cuda::rms_norm(const Handle& x, const Handle& scale, NormOptions options) {
    return cuda::route(
        [options](const Handle& hx, const Handle& hs) {
            return hx.dtype == DType::f64 ? Composite::rms_norm(hx, hs, options)
                                          : cuda::norm(hx, hs, Handle{}, options, NormKind::rms);
        },
        x, scale);
}
NormGradients<Handle> Cuda::rms_norm_backward(const Handle& x, const Handle& scale, const Handle& g,
                                              NormOptions options) {
    return cuda::route(
        [options](const Handle& hx, const Handle& hs, const Handle& hg) {
            return hx.dtype == DType::f64 ? Composite::rms_norm_backward(hx, hs, hg, options)
                                          : cuda::norm_gradient(hx, hs, Handle{}, hg, options, NormKind::rms);
        },
        x, scale, g);
}

Handle Cuda::rope(const Handle& x, const Handle& cos, const Handle& sin, Rotation rotation) {
    const Extents table{x.extents()[x.rank() - 2], x.extents().back() / 2};
    require(cos.extents() == table && sin.extents() == table && x.extents().back() % 2 == 0, "rope: input ",
            x.extents(), ", tables ", cos.extents(), " and ", sin.extents());
    return cuda::route(
        [rotation](const Handle& hx, const Handle& hc, const Handle& hs) {
            const Handle out = empty(hx.extents(), hx.dtype);
            cuda::rotate_pairs(out, dense_rows(hx), contiguous(hc), contiguous(hs), rotation);
            return out;
        },
        x, cos, sin);
}

}  // namespace flowfar
