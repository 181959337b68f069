#pragma once

/// The definitions of `Cpu`'s operations: which loops serve which element type. backend/cpu.hpp includes this file,
/// unless FLOWFAR_SEPARATE_DEFINITIONS is defined; then one unit of the program includes it instead, and the others
/// need neither Eigen nor the time to compile its kernels.

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/backend/cpu/ops/float.hpp"
#include "flowfar/backend/reference.hpp"

namespace flowfar {

namespace cpu {

inline Handle widen(const Handle& h) {
    return h.defined() && h.dtype == DType::bf16 ? Cpu::cast(h, DType::f32) : h;
}
inline Handle narrow(const Handle& h) {
    return h.defined() ? Cpu::cast(h, DType::bf16) : h;
}
inline NormGradients<Handle> narrow(const NormGradients<Handle>& d) {
    return {narrow(d.input), narrow(d.scale), narrow(d.shift)};
}
inline AttentionResult<Handle> narrow(const AttentionResult<Handle>& y) {
    return {narrow(y.output), y.log_sum_exp};
}
inline AttentionGradients<Handle> narrow(const AttentionGradients<Handle>& d) {
    return {narrow(d.query), narrow(d.key), narrow(d.value)};
}

/// Calls `f(backend, operands…)` with the loops for the first operand's element type, which all must share.
template <class F, class... Rest>
auto route(F&& f, const Handle& first, const Rest&... rest) {
    [[maybe_unused]] const auto same = [&](const Handle& h) { return !h.defined() || h.dtype == first.dtype; };
    if (first.dtype == DType::bf16) {
        [[maybe_unused]] const auto fits = [](const Handle& h) {
            return !h.defined() || h.dtype == DType::bf16 || h.dtype == DType::f32;
        };
        require((fits(rest) && ...), "cpu: expected F32 elements beside BF16");
        return narrow(f(Float{}, widen(first), widen(rest)...));
    }
    require((same(rest) && ...), "cpu: operands have different element types; the first has ", name_of(first.dtype));
    if (first.dtype == DType::f64) {
        return f(Reference{}, first, rest...);
    }
    require(first.dtype == DType::f32, "cpu: expected F32, F64 or BF16 elements, found ", name_of(first.dtype));
    return f(Float{}, first, rest...);
}
/// Whether these bf16 operands of a product, perhaps beside f32 ones, need not be widened first.
template <class... Rest>
[[nodiscard]] bool takes_bf16(const Handle& first, const Rest&... rest) {
    return first.dtype == DType::bf16 && multiplies_bf16(first.dtype) &&
           ((rest.dtype == DType::bf16 || rest.dtype == DType::f32) && ...);
}
template <class F>
void in_place(DType dtype, const char* what, F&& f) {
    require(dtype == DType::f32 || dtype == DType::f64, what, ": expected F32 or F64 elements, found ", name_of(dtype),
            "; keep master weights in F32");
    if (dtype == DType::f64) {
        f(Reference{});
    } else {
        f(Float{});
    }
}

}  // namespace cpu

FLOWFAR_INLINE void Cpu::assign(const Handle& target, const Handle& source) {
    cpu::BlockCache::changes(target);
    const auto computes = [](DType t) { return t == DType::f32 || t == DType::bf16 || t == DType::f64; };
    if (target.dtype == source.dtype || (computes(target.dtype) && computes(source.dtype))) {
        cpu::Copy::assign(target, source);
    } else {
        Reference::assign(target, source);  // indices and file types are rare: not worth loops of their own
    }
}

FLOWFAR_INLINE Handle Cpu::unary(Unary op, const Handle& x) {
    return cpu::route([op](auto b, const Handle& h) { return b.unary(op, h); }, x);
}

FLOWFAR_INLINE Handle Cpu::unary_backward(Unary op, const Handle& x, const Handle& y, const Handle& g) {
    return cpu::route(
        [op](auto b, const Handle& hg, const Handle& hx, const Handle& hy) { return b.unary_backward(op, hx, hy, hg); },
        g, x, y);
}

FLOWFAR_INLINE Handle Cpu::binary(BinaryOp op, const Handle& x, const Handle& y) {
    return cpu::route([op](auto b, const Handle& hx, const Handle& hy) { return b.binary(op, hx, hy); }, x, y);
}

FLOWFAR_INLINE Handle Cpu::binary_backward(BinaryOp op, bool first, const Handle& x, const Handle& y, const Handle& z,
                                           const Handle& g) {
    return cpu::route([op, first](auto b, const Handle& hx, const Handle& hy, const Handle& hz,
                                  const Handle& hg) { return b.binary_backward(op, first, hx, hy, hz, hg); },
                      x, y, z, g);
}

FLOWFAR_INLINE Handle Cpu::multiply_add(const Handle& x, const Handle& factor, const Handle& addend, bool plus_one) {
    return cpu::route([plus_one](auto b, const Handle& hx, const Handle& hf,
                                 const Handle& ha) { return b.multiply_add(hx, hf, ha, plus_one); },
                      x, factor, addend);
}

FLOWFAR_INLINE Handle Cpu::where(const Handle& condition, const Handle& x, const Handle& y) {
    return cpu::route([](auto b, const Handle& hx, const Handle& hy, const Handle& hc) { return b.where(hc, hx, hy); },
                      x, y, cast(condition, x.dtype));
}

FLOWFAR_INLINE Handle Cpu::reduce(ReduceOp op, const Handle& x, Axes axes, bool keep) {
    return cpu::route([=](auto b, const Handle& h) { return b.reduce(op, h, axes, keep); }, x);
}

FLOWFAR_INLINE Handle Cpu::softmax(const Handle& x) {
    return cpu::route([](auto b, const Handle& h) { return b.softmax(h); }, x);
}

FLOWFAR_INLINE Handle Cpu::log_softmax(const Handle& x) {
    return cpu::route([](auto b, const Handle& h) { return b.log_softmax(h); }, x);
}

FLOWFAR_INLINE Handle Cpu::softmax_backward(const Handle& y, const Handle& g) {
    return cpu::route([](auto b, const Handle& hy, const Handle& hg) { return b.softmax_backward(hy, hg); }, y, g);
}

FLOWFAR_INLINE Handle Cpu::log_softmax_backward(const Handle& y, const Handle& g) {
    return cpu::route([](auto b, const Handle& hy, const Handle& hg) { return b.log_softmax_backward(hy, hg); }, y, g);
}

FLOWFAR_INLINE Handle Cpu::gemm(const Handle& x, const Handle& y, const Handle& bias, GemmOptions options) {
    if (cpu::takes_bf16(x, y)) {
        return cpu::Float::gemm(x, y, cpu::widen(bias), options);
    }
    return cpu::route(
        [options](auto b, const Handle& hx, const Handle& hy, const Handle& hb) { return b.gemm(hx, hy, hb, options); },
        x, y, bias);
}

FLOWFAR_INLINE Handle Cpu::gemm_add(const Handle& residual, const Handle& gate, const Handle& x, const Handle& y,
                                    const Handle& bias, GemmOptions options) {
    if (residual.dtype == DType::bf16) {  // a product's result is rounded before it is added
        return CompositeLinear<Cpu, Handle>::gemm_add(residual, gate, x, y, bias, options);
    }
    if (cpu::takes_bf16(x, y)) {
        return cpu::Float::gemm_add(residual, gate, x, y, bias, options);
    }
    return cpu::route([options](auto b, const Handle& hr, const Handle& hg, const Handle& hx, const Handle& hy,
                                const Handle& hb) { return b.gemm_add(hr, hg, hx, hy, hb, options); },
                      residual, gate, x, y, bias);
}

FLOWFAR_INLINE Handle Cpu::modulated_layer_norm(const Handle& x, const Handle& gain, const Handle& bias,
                                                const Handle& scale, const Handle& shift, NormOptions options) {
    return cpu::route([options](auto b, const Handle& hx, const Handle& hg, const Handle& hb, const Handle& hs,
                                const Handle& ha) { return b.modulated_layer_norm(hx, hg, hb, hs, ha, options); },
                      x, gain, bias, scale, shift);
}

FLOWFAR_INLINE Handle Cpu::layer_norm(const Handle& x, const Handle& scale, const Handle& shift, NormOptions options) {
    return cpu::route([options](auto b, const Handle& hx, const Handle& hs,
                                const Handle& hb) { return b.layer_norm(hx, hs, hb, options); },
                      x, scale, shift);
}

FLOWFAR_INLINE NormGradients<Handle> Cpu::layer_norm_backward(const Handle& x, const Handle& scale, const Handle& shift,
                                                              const Handle& g, NormOptions options) {
    return cpu::route([options](auto b, const Handle& hx, const Handle& hs, const Handle& hb,
                                const Handle& hg) { return b.layer_norm_backward(hx, hs, hb, hg, options); },
                      x, scale, shift, g);
}

FLOWFAR_INLINE Handle Cpu::rms_norm(const Handle& x, const Handle& scale, NormOptions options) {
    return cpu::route([options](auto b, const Handle& hx, const Handle& hs) { return b.rms_norm(hx, hs, options); }, x,
                      scale);
}

FLOWFAR_INLINE NormGradients<Handle> Cpu::rms_norm_backward(const Handle& x, const Handle& scale, const Handle& g,
                                                            NormOptions options) {
    return cpu::route([options](auto b, const Handle& hx, const Handle& hs,
                                const Handle& hg) { return b.rms_norm_backward(hx, hs, hg, options); },
                      x, scale, g);
}

FLOWFAR_INLINE Handle Cpu::rope(const Handle& x, const Handle& cos, const Handle& sin, bool inverse) {
    return cpu::route(
        [inverse](auto b, const Handle& hx, const Handle& hc, const Handle& hs) { return b.rope(hx, hc, hs, inverse); },
        x, cos, sin);
}

FLOWFAR_INLINE AttentionResult<Handle> Cpu::attention(const Handle& q, const Handle& k, const Handle& v, double scale,
                                                      MaskKind mask) {
    if (k.extents()[2] > 0 && cpu::takes_bf16(q, k, v)) {
        return cpu::Float::attention(q, k, v, scale, mask);
    }
    return cpu::route([=](auto b, const Handle& hq, const Handle& hk,
                          const Handle& hv) { return b.attention(hq, hk, hv, scale, mask); },
                      q, k, v);
}

FLOWFAR_INLINE AttentionGradients<Handle> Cpu::attention_backward(const Handle& q, const Handle& k, const Handle& v,
                                                                  const AttentionResult<Handle>& y, const Handle& g,
                                                                  double scale, MaskKind mask) {
    return cpu::route(
        [=](auto b, const Handle& hq, const Handle& hk, const Handle& hv, const Handle& ho, const Handle& hl,
            const Handle& hg) {
            return b.attention_backward(hq, hk, hv, {ho, hl}, hg, scale, mask);
        },
        q, k, v, y.output, y.log_sum_exp, g);
}

FLOWFAR_INLINE Handle Cpu::conv2d(const Handle& x, const Handle& weight, const Handle& bias,
                                  const ConvOptions& options) {
    return cpu::route(
        [&](auto b, const Handle& hx, const Handle& hw, const Handle& hb) { return b.conv2d(hx, hw, hb, options); }, x,
        weight, bias);
}

FLOWFAR_INLINE Handle Cpu::conv2d_backward_input(const Handle& weight, const Handle& g, const Extents& x,
                                                 const ConvOptions& options) {
    return cpu::route(
        [&](auto b, const Handle& hg, const Handle& hw) { return b.conv2d_backward_input(hw, hg, x, options); }, g,
        weight);
}

FLOWFAR_INLINE Handle Cpu::conv2d_backward_weight(const Handle& x, const Handle& g, const Extents& weight,
                                                  const ConvOptions& options) {
    return cpu::route(
        [&](auto b, const Handle& hx, const Handle& hg) { return b.conv2d_backward_weight(hx, hg, weight, options); },
        x, g);
}

FLOWFAR_INLINE Handle Cpu::group_norm(const Handle& x, const Handle& weight, const Handle& bias, Index groups,
                                      double epsilon) {
    return cpu::route([=](auto b, const Handle& hx, const Handle& hw,
                          const Handle& hb) { return b.group_norm(hx, hw, hb, groups, epsilon); },
                      x, weight, bias);
}

FLOWFAR_INLINE NormGradients<Handle> Cpu::group_norm_backward(const Handle& x, const Handle& weight, const Handle& g,
                                                              Index groups, double epsilon) {
    return cpu::route([=](auto b, const Handle& hx, const Handle& hw,
                          const Handle& hg) { return b.group_norm_backward(hx, hw, hg, groups, epsilon); },
                      x, weight, g);
}

FLOWFAR_INLINE Handle Cpu::upsample_nearest2(const Handle& x) {
    return cpu::route([](auto b, const Handle& h) { return b.upsample_nearest2(h); }, x);
}

FLOWFAR_INLINE Handle Cpu::upsample_nearest2_backward(const Handle& g) {
    return cpu::route([](auto b, const Handle& h) { return b.upsample_nearest2_backward(h); }, g);
}

FLOWFAR_INLINE Handle Cpu::pool2d(const Handle& x, const PoolOptions& options) {
    return cpu::route([&](auto b, const Handle& h) { return b.pool2d(h, options); }, x);
}

FLOWFAR_INLINE Handle Cpu::pool2d_backward(const Handle& x, const Handle& g, const Extents& extents,
                                           const PoolOptions& options) {
    return cpu::route(
        [&](auto b, const Handle& hg, const Handle& hx) { return b.pool2d_backward(hx, hg, extents, options); }, g, x);
}

FLOWFAR_INLINE void Cpu::add_into(const Handle& target, const Handle& source) {
    cpu::BlockCache::changes(target);
    if (target.dtype == DType::f32) {
        cpu::Float::add_into(target, cast(source, DType::f32));
    } else {
        assign(target, binary(BinaryOp::add, target, source));
    }
}

FLOWFAR_INLINE void Cpu::lerp(const Handle& target, const Handle& source, double weight) {
    cpu::BlockCache::changes(target);
    cpu::in_place(target.dtype, "lerp", [&](auto b) { b.lerp(target, cast(source, target.dtype), weight); });
}

FLOWFAR_INLINE void Cpu::adam_step(const Handle& p, const Handle& g, const Handle& m, const Handle& v,
                                   const AdamOptions& options) {
    for (const Handle& changed : {p, m, v}) {
        cpu::BlockCache::changes(changed);
    }
    cpu::in_place(p.dtype, "adam_step", [&](auto b) { b.adam_step(p, cast(g, p.dtype), m, v, options); });
}

}  // namespace flowfar
