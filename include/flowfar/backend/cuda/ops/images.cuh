#pragma once

/// `Cuda`'s convolutions, group norm, pooling and upsampling.

#include "flowfar/backend/cuda/kernels/conv/conv.cuh"
#include "flowfar/backend/cuda/kernels/conv/pooling.cuh"
#include "flowfar/backend/cuda/kernels/rows/group_norm.cuh"
#include "flowfar/backend/cuda/ops/route.cuh"

namespace flowfar {

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

/// Group norm, then SiLU or nothing.
inline Handle group_norm(const Handle& x, const Handle& weight, const Handle& bias, Index groups, double epsilon,
                         Activation activation) {
    check_group_norm(x.extents(), weight.count(), bias.count(), groups);
    const bool silu = activation == Activation::silu;
    return route(
        [=](const Handle& hx, const Handle& hw, const Handle& hb) {
            if (hx.dtype == DType::f64) {
                const Handle y = Composite<Cuda, Handle>::group_norm(hx, hw, hb, groups, epsilon);
                return silu ? Cuda::unary({UnaryOp::silu}, y) : y;
            }
            const Handle out = Cuda::empty(hx.extents(), hx.dtype);
            visit_native(hx.dtype, [&]<class T>() {
                GroupNorm<T>(hx.extents(), groups, epsilon)
                    .forward(out, Cuda::contiguous(hx), Cuda::contiguous(hw), Cuda::contiguous(hb), silu);
            });
            return out;
        },
        x, weight, bias);
}

}  // namespace cuda

Handle Cuda::conv2d(const Handle& x, const Handle& weight, const Handle& bias, const ConvOptions& options) {
    const ConvShape shape = ConvShape::of(x.extents(), weight.extents(), options);
    require(!bias.defined() || bias.count() == shape.out, "conv2d: a bias of ", bias.extents(), " for ", shape.out,
            " channels");
    return cuda::convolution(
        shape.output(), shape, x, weight, [&](const Handle& out, const Handle& hx, const Handle& hw, const auto& conv) {
            conv.forward(out, contiguous(hx), contiguous(hw), dense(cast_defined(bias, out.dtype)));
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

Handle Cuda::group_norm(const Handle& x, const Handle& weight, const Handle& bias, Index groups, double epsilon) {
    return cuda::group_norm(x, weight, bias, groups, epsilon, Activation::none);
}
Handle Cuda::group_norm_silu(const Handle& x, const Handle& weight, const Handle& bias, Index groups, double epsilon) {
    return cuda::group_norm(x, weight, bias, groups, epsilon, Activation::silu);
}
NormGradients<Handle> Cuda::group_norm_backward(const Handle& x, const Handle& weight, const Handle& g, Index groups,
                                                double epsilon) {
    const Extents& e = x.extents();
    check_group_norm(e, weight.count(), e.rank() < 2 ? 0 : e[1], groups);
    require(g.extents() == e, "group_norm: input ", e, ", gradient ", g.extents());
    return cuda::route(
        [=](const Handle& hx, const Handle& hw, const Handle& hg) {
            if (hx.dtype == DType::f64) {
                return Composite::group_norm_backward(hx, hw, hg, groups, epsilon);
            }
            const Extents channels{hx.extents()[1]};
            const NormGradients<Handle> out{empty(hx.extents(), hx.dtype), empty(channels, hx.dtype),
                                            empty(channels, hx.dtype)};
            cuda::visit_native(hx.dtype, [&]<class T>() {
                cuda::GroupNorm<T>(hx.extents(), groups, epsilon)
                    .backward(out, contiguous(hx), contiguous(hw), contiguous(hg));
            });
            return out;
        },
        x, weight, g);
}

Handle Cuda::upsample_nearest2(const Handle& x) {
    const Extents& e = x.extents();
    require(e.rank() == 4, "upsample_nearest2: expected four axes, found ", e);
    return cuda::route(
        [&](const Handle& h) {
            const Handle out = empty({e[0], e[1], 2 * e[2], 2 * e[3]}, h.dtype);
            cuda::upsampling::forward(out, contiguous(h));
            return out;
        },
        x);
}
Handle Cuda::upsample_nearest2_backward(const Handle& g) {
    const Extents& e = g.extents();
    require(e.rank() == 4 && e[2] % 2 == 0 && e[3] % 2 == 0, "upsample_nearest2: a gradient of ", e);
    return cuda::route(
        [&](const Handle& h) {
            const Handle out = empty({e[0], e[1], e[2] / 2, e[3] / 2}, h.dtype);
            cuda::upsampling::backward(out, contiguous(h));
            return out;
        },
        g);
}

Handle Cuda::pool2d(const Handle& x, const PoolOptions& options) {
    const PoolShape shape = PoolShape::of(x.extents(), options);
    return cuda::route(
        [&](const Handle& h) {
            const Handle out = empty(shape.windows.output(), h.dtype);
            cuda::pooling::forward(out, contiguous(h), shape);
            return out;
        },
        x);
}
Handle Cuda::pool2d_backward(const Handle& x, const Handle& g, const Extents& extents, const PoolOptions& options) {
    const PoolShape shape = PoolShape::of(extents, g.extents(), options);
    return cuda::route(
        [&](const Handle& hg, const Handle& hx) {
            const Handle out = empty(extents, hg.dtype);
            cuda::pooling::backward(out, dense(hx), contiguous(hg), shape);
            return out;
        },
        g, x);
}

}  // namespace flowfar
