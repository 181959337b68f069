#pragma once

/// `Cuda`'s matrix products and convolutions.

#include "flowfar/backend/cuda/conv.cuh"
#include "flowfar/backend/cuda/definitions/route.cuh"
#include "flowfar/backend/cuda/gemm_lt.cuh"

namespace flowfar {

Handle Cuda::gemm(const Handle& x, const Handle& y, const Handle& bias, GemmOptions options) {
    require(x.rank() >= 2 && y.rank() >= 2 && y.extents()[y.rank() - 2] == x.extents().back(), "gemm: ", x.extents(),
            " times ", y.extents());
    Extents extents = x.extents();
    extents[x.rank() - 1] = y.extents().back();
    require(!bias.defined() || bias.count() == extents.back(), "gemm: a bias of ", bias.extents(), " for ",
            extents.back(), " columns");
    Extents batched = x.extents();
    batched[x.rank() - 2] = y.extents()[y.rank() - 2];
    batched[x.rank() - 1] = y.extents().back();
    static_cast<void>(expanded(y.rank() == 2 ? contiguous_layout(batched) : y.layout, batched));  // throws if it cannot
    // A bias is added in f32; rounding it first costs no more than rounding the sum.
    const Handle added = bias.defined() && x.dtype == DType::bf16 ? cast(bias, DType::bf16) : bias;
    return cuda::route(
        [&](const Handle& a, const Handle& b, const Handle& c) {
            const Handle out = empty(extents, a.dtype);
            cuda::Gemm::run(out, a, b, cuda::dense(c), options);
            return out;
        },
        x, y, added);
}

Handle Cuda::conv2d(const Handle& x, const Handle& weight, const Handle& bias, const ConvOptions& options) {
    const ConvShape shape = ConvShape::of(x.extents(), weight.extents(), options);
    require(!bias.defined() || bias.count() == shape.out, "conv2d: a bias of ", bias.extents(), " for ", shape.out,
            " channels");
    return cuda::route(
        [&](const Handle& hx, const Handle& hw, const Handle& hb) {
            const Handle out = empty(shape.output(), hx.dtype);
            visit_float(hx.dtype, "conv2d", [&]<class T>() {
                cuda::Conv<T>(shape).forward(out, contiguous(hx), contiguous(hw), cuda::dense(hb));
            });
            return out;
        },
        x, weight, bias);
}
Handle Cuda::conv2d_backward_input(const Handle& weight, const Handle& g, const Extents& x,
                                   const ConvOptions& options) {
    const ConvShape shape = ConvShape::of(x, weight.extents(), g.extents(), options);
    return cuda::route(
        [&](const Handle& hg, const Handle& hw) {
            const Handle out = empty(x, hg.dtype);
            visit_float(hg.dtype, "conv2d",
                        [&]<class T>() { cuda::Conv<T>(shape).backward_input(out, contiguous(hw), contiguous(hg)); });
            return out;
        },
        g, weight);
}
Handle Cuda::conv2d_backward_weight(const Handle& x, const Handle& g, const Extents& weight,
                                    const ConvOptions& options) {
    const ConvShape shape = ConvShape::of(x.extents(), weight, g.extents(), options);
    return cuda::route(
        [&](const Handle& hx, const Handle& hg) {
            const Handle out = empty(weight, hx.dtype);
            visit_float(hx.dtype, "conv2d",
                        [&]<class T>() { cuda::Conv<T>(shape).backward_weight(out, contiguous(hx), contiguous(hg)); });
            return out;
        },
        x, g);
}

}  // namespace flowfar
