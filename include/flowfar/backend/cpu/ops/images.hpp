#pragma once

/// `Cpu`'s convolutions, group norm, pooling and upsampling.

#include "flowfar/backend/cpu/kernels/conv/bf16_conv.hpp"
#include "flowfar/backend/cpu/kernels/conv/conv.hpp"
#include "flowfar/backend/cpu/kernels/conv/f32_conv.hpp"
#include "flowfar/backend/cpu/kernels/conv/pooling.hpp"
#include "flowfar/backend/cpu/kernels/conv/upsample.hpp"
#include "flowfar/backend/cpu/kernels/rows/group_norm.hpp"
#include "flowfar/backend/cpu/ops/route.hpp"

namespace flowfar {

namespace cpu {

/// A convolution of f32. The first kernel that fits; gradients are always by Conv:
///
///     under Bf16Products, a CPU that adds bf16 pairs, shapes that it takes     Bf16Conv
///     more than one tap, AVX-512, shapes that it takes                         F32Conv
///     else                                                                     Conv: a product per image
inline void convolve(const Handle& x, const Handle& weight, const Handle& bias, const Handle& out,
                     const ConvShape& shape) {
#if defined(FLOWFAR_AVX512_BF16)
    if (multiplies_bf16(x.dtype) && Bf16Conv::takes(shape)) {
        return Bf16Conv(shape).forward(x, weight, bias, out);
    }
#endif
#if defined(FLOWFAR_AVX512)
    if (instruction_set() == InstructionSet::avx512 && shape.taps() > 1 && F32Conv::takes(shape)) {
        return F32Conv(shape).forward(x, weight, bias, out);
    }
#endif
    Conv(shape).forward(x, weight, bias, out);
}

}  // namespace cpu

FLOWFAR_INLINE Handle Cpu::conv2d(const Handle& x, const Handle& weight, const Handle& bias,
                                  const ConvOptions& options) {
    return cpu::route(
        [&](const Handle& hx, const Handle& hw, const Handle& hb) {
            const ConvShape shape = ConvShape::of(hx.extents(), hw.extents(), options);
            require(!hb.defined() || hb.count() == shape.out, "conv2d: a bias of ", hb.extents(), " for ", shape.out,
                    " channels");
            const Handle out = empty(shape.output(), hx.dtype);
            cpu::convolve(contiguous(hx), contiguous(hw), dense(hb), out, shape);
            return out;
        },
        [&] { return Reference::conv2d(x, weight, bias, options); }, x, weight, bias);
}
FLOWFAR_INLINE Handle Cpu::conv2d_backward_input(const Handle& weight, const Handle& g, const Extents& x,
                                                 const ConvOptions& options) {
    return cpu::route(
        [&](const Handle& hg, const Handle& hw) {
            const Handle out = full(x, hg.dtype, 0.0);
            cpu::Conv(ConvShape::of(x, hw.extents(), hg.extents(), options))
                .backward_input(contiguous(hw), contiguous(hg), out);
            return out;
        },
        [&] { return Reference::conv2d_backward_input(weight, g, x, options); }, g, weight);
}
FLOWFAR_INLINE Handle Cpu::conv2d_backward_weight(const Handle& x, const Handle& g, const Extents& weight,
                                                  const ConvOptions& options) {
    return cpu::route(
        [&](const Handle& hx, const Handle& hg) {
            const Handle out = full(weight, hg.dtype, 0.0);
            cpu::Conv(ConvShape::of(hx.extents(), weight, hg.extents(), options))
                .backward_weight(contiguous(hx), contiguous(hg), out);
            return out;
        },
        [&] { return Reference::conv2d_backward_weight(x, g, weight, options); }, x, g);
}

FLOWFAR_INLINE Handle Cpu::group_norm(const Handle& x, const Handle& weight, const Handle& bias, Index groups,
                                      double epsilon) {
    return cpu::route(
        [=](const Handle& hx, const Handle& hw, const Handle& hb) {
            check_group_norm(hx.extents(), hw.count(), hb.count(), groups);
            const Handle out = empty(hx.extents(), hx.dtype);
            cpu::GroupNorm(hx.extents(), groups, epsilon).forward(contiguous(hx), contiguous(hw), contiguous(hb), out);
            return out;
        },
        [&] { return Reference::group_norm(x, weight, bias, groups, epsilon); }, x, weight, bias);
}
FLOWFAR_INLINE NormGradients<Handle> Cpu::group_norm_backward(const Handle& x, const Handle& weight, const Handle& g,
                                                              Index groups, double epsilon) {
    return cpu::route(
        [=](const Handle& hx, const Handle& hw, const Handle& hg) {
            const Extents& e = hx.extents();
            check_group_norm(e, hw.count(), e[1], groups);
            require(hg.extents() == e, "group_norm: input ", e, ", gradient ", hg.extents());
            const NormGradients<Handle> out{empty(e, hx.dtype), empty({e[1]}, hx.dtype), empty({e[1]}, hx.dtype)};
            cpu::GroupNorm(e, groups, epsilon).backward(contiguous(hx), contiguous(hw), contiguous(hg), out);
            return out;
        },
        [&] { return Reference::group_norm_backward(x, weight, g, groups, epsilon); }, x, weight, g);
}

FLOWFAR_INLINE Handle Cpu::upsample_nearest2(const Handle& x) {
    return cpu::route(
        [](const Handle& h) {
            const Extents& e = h.extents();
            require(e.rank() == 4, "upsample_nearest2: expected four axes, found ", e);
            const Handle out = empty({e[0], e[1], 2 * e[2], 2 * e[3]}, h.dtype);
            cpu::upsampling::forward(contiguous(h), out);
            return out;
        },
        [&] { return Reference::upsample_nearest2(x); }, x);
}
FLOWFAR_INLINE Handle Cpu::upsample_nearest2_backward(const Handle& g) {
    return cpu::route(
        [](const Handle& h) {
            const Extents& e = h.extents();
            require(e.rank() == 4 && e[2] % 2 == 0 && e[3] % 2 == 0, "upsample_nearest2: a gradient of ", e);
            const Handle out = empty({e[0], e[1], e[2] / 2, e[3] / 2}, h.dtype);
            cpu::upsampling::backward(contiguous(h), out);
            return out;
        },
        [&] { return Reference::upsample_nearest2_backward(g); }, g);
}

FLOWFAR_INLINE Handle Cpu::pool2d(const Handle& x, const PoolOptions& options) {
    return cpu::route(
        [&](const Handle& h) {
            const PoolShape shape = PoolShape::of(h.extents(), options);
            const Handle out = empty(shape.windows.output(), h.dtype);
            cpu::Pool(shape).forward(contiguous(h), out);
            return out;
        },
        [&] { return Reference::pool2d(x, options); }, x);
}
FLOWFAR_INLINE Handle Cpu::pool2d_backward(const Handle& x, const Handle& g, const Extents& extents,
                                           const PoolOptions& options) {
    return cpu::route(
        [&](const Handle& hg, const Handle& hx) {
            const Handle out = full(extents, hg.dtype, 0.0);
            cpu::Pool(PoolShape::of(extents, hg.extents(), options)).backward(dense(hx), contiguous(hg), out);
            return out;
        },
        [&] { return Reference::pool2d_backward(x, g, extents, options); }, g, x);
}

}  // namespace flowfar
