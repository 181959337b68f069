#pragma once

/// `Cpu`'s reductions, softmax, normalizations and rotary embedding.

#include "flowfar/backend/cpu/kernels/rows/norm.hpp"
#include "flowfar/backend/cpu/kernels/rows/reduce.hpp"
#include "flowfar/backend/cpu/ops/route.hpp"
#include "flowfar/core/shapes/reduce_shape.hpp"

namespace flowfar {

namespace cpu {

/// Softmax of f32 over the last axis.
[[nodiscard]] inline Handle softmax_of(const Handle& x, SoftmaxKind kind) {
    const Handle in = Cpu::contiguous(x);
    const Handle out = Cpu::empty(x.extents(), x.dtype);
    Reduce::softmax(in.data<float>(), out.data<float>(), row_count(x.extents()), x.extents().back(), kind);
    return out;
}

/// A norm of f32, followed by these scales and shifts.
template <std::size_t N>
[[nodiscard]] Handle norm(const Handle& x, const std::array<Norm::Affine, N>& steps, NormOptions options,
                          NormKind kind) {
    const Handle out = options.pack_result ? empty_packed(x.extents(), x.dtype) : Cpu::empty(x.extents(), x.dtype);
    Norm::forward(Cpu::dense_rows(x), steps, out, options.epsilon, kind);
    return out;
}
[[nodiscard]] inline Handle norm(const Handle& x, const Handle& scale, const Handle& shift, NormOptions options,
                                 NormKind kind) {
    const Handle factor = Cpu::dense_rows(scale);
    const Handle added = Cpu::dense_rows(shift);
    return norm(x, std::array{Norm::affine(factor, added, x.extents(), options.gain_kind())}, options, kind);
}
[[nodiscard]] inline NormGradients<Handle> norm_gradients(const Handle& x, const Handle& scale, const Handle& shift,
                                                          const Handle& g, NormOptions options, NormKind kind) {
    const NormGradients<Handle> out{Cpu::empty(x.extents(), x.dtype),
                                    scale.defined() ? Cpu::empty(scale.extents(), x.dtype) : Handle{},
                                    shift.defined() ? Cpu::empty(shift.extents(), x.dtype) : Handle{}};
    Norm::backward(Cpu::dense_rows(x), Cpu::dense(scale), Cpu::dense_rows(g), out.input, out.scale, out.shift, options,
                   kind);
    return out;
}

}  // namespace cpu

FLOWFAR_INLINE Handle Cpu::reduce(ReduceOp op, const Handle& x, Axes axes, ReducedAxes reduced) {
    return cpu::route(
        [=](const Handle& h) {
            const ReduceShape shape = ReduceShape::of(h.extents(), axes, reduced);
            const Handle source = contiguous(shape.order.rank() == 0 ? h : permute(h, shape.order));
            const Handle out = empty(shape.result, h.dtype);
            cpu::Reduce::block(source.data<float>(), out.data<float>(), shape.outer, shape.middle, shape.inner, op);
            return out;
        },
        [&] { return Reference::reduce(op, x, axes, reduced); }, x);
}

FLOWFAR_INLINE Handle Cpu::softmax(const Handle& x) {
    return cpu::route([](const Handle& h) { return cpu::softmax_of(h, SoftmaxKind::probabilities); },
                      [&] { return Reference::softmax(x); }, x);
}
FLOWFAR_INLINE Handle Cpu::log_softmax(const Handle& x) {
    return cpu::route([](const Handle& h) { return cpu::softmax_of(h, SoftmaxKind::logarithms); },
                      [&] { return Reference::log_softmax(x); }, x);
}
FLOWFAR_INLINE Handle Cpu::softmax_backward(const Handle& y, const Handle& g) {
    return cpu::route([](const Handle& hy, const Handle& hg) { return Composite::softmax_backward(hy, hg); },
                      [&] { return Reference::softmax_backward(y, g); }, y, g);
}
FLOWFAR_INLINE Handle Cpu::log_softmax_backward(const Handle& y, const Handle& g) {
    return cpu::route([](const Handle& hy, const Handle& hg) { return Composite::log_softmax_backward(hy, hg); },
                      [&] { return Reference::log_softmax_backward(y, g); }, y, g);
}

FLOWFAR_INLINE Handle Cpu::layer_norm(const Handle& x, const Handle& scale, const Handle& shift, NormOptions options) {
    return cpu::route([=](const Handle& hx, const Handle& hs,
                          const Handle& hb) { return cpu::norm(hx, hs, hb, options, NormKind::layer); },
                      [&] { return Reference::layer_norm(x, scale, shift, options); }, x, scale, shift);
}
FLOWFAR_INLINE NormGradients<Handle> Cpu::layer_norm_backward(const Handle& x, const Handle& scale, const Handle& shift,
                                                              const Handle& g, NormOptions options) {
    return cpu::route(
        [=](const Handle& hx, const Handle& hs, const Handle& hb, const Handle& hg) {
            const bool alike = !hs.defined() || !hb.defined() || hs.extents() == hb.extents();
            return alike ? cpu::norm_gradients(hx, hs, hb, hg, options, NormKind::layer)
                         : Composite::layer_norm_backward(hx, hs, hb, hg, options);
        },
        [&] { return Reference::layer_norm_backward(x, scale, shift, g, options); }, x, scale, shift, g);
}
FLOWFAR_INLINE Handle Cpu::modulated_layer_norm(const Handle& x, const Handle& gain, const Handle& bias,
                                                const Handle& scale, const Handle& shift, NormOptions options) {
    return cpu::route(
        [=](const Handle& hx, const Handle& hg, const Handle& hb, const Handle& hs, const Handle& ha) {
            const Handle weight = dense_rows(hg);
            const Handle offset = dense_rows(hb);
            const Handle factor = dense_rows(hs);
            const Handle added = dense_rows(ha);
            return cpu::norm(hx,
                             std::array{cpu::Norm::affine(weight, offset, hx.extents(), options.gain_kind()),
                                        cpu::Norm::affine(factor, added, hx.extents(), FactorKind::plus_one)},
                             options, NormKind::layer);
        },
        [&] { return Reference::modulated_layer_norm(x, gain, bias, scale, shift, options); }, x, gain, bias, scale,
        shift);
}
FLOWFAR_INLINE Handle Cpu::rms_norm(const Handle& x, const Handle& scale, NormOptions options) {
    return cpu::route(
        [=](const Handle& hx, const Handle& hs) { return cpu::norm(hx, hs, Handle{}, options, NormKind::rms); },
        [&] { return Reference::rms_norm(x, scale, options); }, x, scale);
}
FLOWFAR_INLINE NormGradients<Handle> Cpu::rms_norm_backward(const Handle& x, const Handle& scale, const Handle& g,
                                                            NormOptions options) {
    return cpu::route(
        [=](const Handle& hx, const Handle& hs, const Handle& hg) {
            return cpu::norm_gradients(hx, hs, Handle{}, hg, options, NormKind::rms);
        },
        [&] { return Reference::rms_norm_backward(x, scale, g, options); }, x, scale, g);
}

FLOWFAR_INLINE Handle Cpu::rope(const Handle& x, const Handle& cos, const Handle& sin, Rotation rotation) {
    return cpu::route(
        [=](const Handle& hx, const Handle& hc, const Handle& hs) {
            const Extents table{hx.extents()[hx.rank() - 2], hx.extents().back() / 2};
            require(hc.extents() == table && hs.extents() == table && hx.extents().back() % 2 == 0, "rope: input ",
                    hx.extents(), ", tables ", hc.extents(), " and ", hs.extents());
            const Handle out = empty(hx.extents(), hx.dtype);
            cpu::Norm::rope(dense_rows(hx), contiguous(hc), contiguous(hs), out, rotation);
            return out;
        },
        [&] { return Reference::rope(x, cos, sin, rotation); }, x, cos, sin);
}

}  // namespace flowfar
