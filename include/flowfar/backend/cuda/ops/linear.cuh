#pragma once

/// `Cuda`'s matrix products and convolutions.

#include "flowfar/backend/cuda/kernels/conv/conv.cuh"
#include "flowfar/backend/cuda/kernels/gemm/gemm_lt.cuh"
#include "flowfar/backend/cuda/ops/route.cuh"

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
    if (cuda::rounds_operands(x.dtype) && y.dtype == x.dtype) {
        const Handle out = empty(extents, x.dtype);
        cuda::Gemm::run(out, cuda::cast_in_order(x, DType::bf16), cuda::cast_in_order(y, DType::bf16),
                        cuda::dense(cuda::cast_defined(bias, x.dtype)), options);
        return out;
    }
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

namespace cuda {

/// A convolution's result with these extents: calls `f(out, a, b, conv)` with operands of one element type, rounded to
/// bf16 where Bf16Products asks for it. Results have x's type then, too, and are never rounded in between.
template <class F>
Handle convolution(const Extents& extents, const ConvShape& shape, const Handle& x, const Handle& y, F&& f) {
    if (rounds_operands(x.dtype) && y.dtype == x.dtype) {
        const Handle out = Cuda::empty(extents, x.dtype);
        f(out, Cuda::cast(x, DType::bf16), Cuda::cast(y, DType::bf16), Conv<bf16, float>(shape));
        return out;
    }
    return route(
        [&](const Handle& a, const Handle& b) {
            const Handle out = Cuda::empty(extents, a.dtype);
            visit_float(a.dtype, "conv2d", [&]<class T>() { f(out, a, b, Conv<T>(shape)); });
            return out;
        },
        x, y);
}

}  // namespace cuda

Handle Cuda::conv2d(const Handle& x, const Handle& weight, const Handle& bias, const ConvOptions& options) {
    const ConvShape shape = ConvShape::of(x.extents(), weight.extents(), options);
    require(!bias.defined() || bias.count() == shape.out, "conv2d: a bias of ", bias.extents(), " for ", shape.out,
            " channels");
    return cuda::convolution(
        shape.output(), shape, x, weight, [&](const Handle& out, const Handle& hx, const Handle& hw, const auto& conv) {
            conv.forward(out, contiguous(hx), contiguous(hw), cuda::dense(cuda::cast_defined(bias, out.dtype)));
        });
}
Handle Cuda::conv2d_backward_input(const Handle& weight, const Handle& g, const Extents& x,
                                   const ConvOptions& options) {
    const ConvShape shape = ConvShape::of(x, weight.extents(), g.extents(), options);
    return cuda::convolution(x, shape, g, weight,
                             [](const Handle& out, const Handle& hg, const Handle& hw, const auto& conv) {
                                 conv.backward_input(out, contiguous(hw), contiguous(hg));
                             });
}
Handle Cuda::conv2d_backward_weight(const Handle& x, const Handle& g, const Extents& weight,
                                    const ConvOptions& options) {
    const ConvShape shape = ConvShape::of(x.extents(), weight, g.extents(), options);
    return cuda::convolution(weight, shape, x, g,
                             [](const Handle& out, const Handle& hx, const Handle& hg, const auto& conv) {
                                 conv.backward_weight(out, contiguous(hx), contiguous(hg));
                             });
}

}  // namespace flowfar
