#pragma once

/// `Cpu`'s attention.

#include "flowfar/backend/cpu/kernels/attention/amx_attention.hpp"
#include "flowfar/backend/cpu/kernels/attention/bf16_attention.hpp"
#include "flowfar/backend/cpu/kernels/attention/bf16_attention_backward.hpp"
#include "flowfar/backend/cpu/kernels/attention/f32_attention.hpp"
#include "flowfar/backend/cpu/kernels/attention/visible_keys.hpp"
#include "flowfar/backend/cpu/ops/route.hpp"
#include "flowfar/core/shapes/attention_shape.hpp"

namespace flowfar {

namespace cpu {

/// Attention of f32 or bf16 operands, and its gradients. The first kernel that fits:
///
///     operands                                                        kernel
///     no keys, or no queries whose gradients are asked for            Composite
///     bf16, or f32 under Bf16Products, a CPU with tile registers      AmxAttention, Bf16AttentionBackward
///     bf16, or f32 under Bf16Products, a CPU that adds bf16 pairs     Bf16Attention, Bf16AttentionBackward
///     f32                                                             Attention
///     bf16 without such a CPU                                         Attention, operands widened by route
///     f64                                                             Reference, by route
///
/// Gradients of bf16 operands take the kernels for bf16 under Bf16Products only: route widens them, and f32 follows.
/// A mask of keys takes the hidden ones away first (VisibleKeys); AmxAttention knows no such shapes.
[[nodiscard]] inline AttentionResult<Handle> attend(const Handle& q, const Handle& k, const Handle& v, double scale,
                                                    const AttentionShape& shape) {
    if (shape.keys == 0) {
        return Composite<Cpu, Handle>::attention(q, k, v, scale, shape.mask);
    }
    const AttentionResult<Handle> y{Cpu::token_major(q.extents(), q.dtype),
                                    Cpu::empty(shape.row_extents(), DType::f32)};
    const Handle queries = Cpu::dense_rows(q);
    const Handle keys = Cpu::dense_rows(k);
    const Handle values = Cpu::dense_rows(v);
#if defined(FLOWFAR_AVX512_BF16)
#if defined(__linux__)
    if (multiplies_bf16(q.dtype) && shape.counts == nullptr && bf16_product::AmxTiles::available() && shape.width > 0) {
        AmxAttention(queries, keys, values, shape, scale).forward(y.output, y.log_sum_exp.data<float>());
        return y;
    }
#endif
    if (multiplies_bf16(q.dtype)) {
        Bf16Attention(queries, keys, values, shape, scale).forward(y.output, y.log_sum_exp.data<float>());
        return y;
    }
#endif
    Attention(shape, scale).forward(queries, keys, values, y.output, y.log_sum_exp.data<float>());
    return y;
}

[[nodiscard]] inline AttentionGradients<Handle> attention_gradients(const Handle& q, const Handle& k, const Handle& v,
                                                                    const AttentionResult<Handle>& y, const Handle& g,
                                                                    double scale, const AttentionShape& shape) {
    if (shape.keys == 0 || shape.queries == 0) {
        return Composite<Cpu, Handle>::attention_backward(q, k, v, y, g, scale, shape.mask);
    }
    const AttentionGradients<Handle> d{Cpu::token_major(q.extents(), q.dtype), Cpu::token_major(k.extents(), q.dtype),
                                       Cpu::token_major(v.extents(), q.dtype)};
    const Handle queries = Cpu::dense_rows(q);
    const Handle keys = Cpu::dense_rows(k);
    const Handle values = Cpu::dense_rows(v);
    const Handle outputs = Cpu::dense_rows(y.output);
    const Handle slopes = Cpu::dense_rows(g);
    const float* const log_sum_exp = y.log_sum_exp.data<float>();
#if defined(FLOWFAR_AVX512_BF16)
    if (multiplies_bf16(q.dtype)) {
        Bf16AttentionBackward(queries, keys, values, shape, scale)(outputs, log_sum_exp, slopes, d.query, d.key,
                                                                   d.value);
        return d;
    }
#endif
    Attention(shape, scale).backward(queries, keys, values, outputs, log_sum_exp, slopes, d.query, d.key, d.value);
    return d;
}

/// The keys that are left, and the shape of the attention to them.
struct MaskedAttention {
    VisibleKeys visible;
    AttentionShape shape;
    Handle keys, values;

    MaskedAttention(const Handle& k, const Handle& v, const AttentionShape& all, const Handle& key_mask)
        : visible(Cpu::contiguous(key_mask), all.queries, all.mask), shape(all) {
        shape.keys = visible.most();
        shape.counts = visible.counts();
        keys = gathered(k);
        values = gathered(v);
    }
    /// The gradient of all keys from that of the ones that are left.
    [[nodiscard]] Handle spread(const Handle& gradient, const Handle& k) const {
        const Handle out = Cpu::full(k.extents(), gradient.dtype, 0.0);
        visible.scatter(Cpu::dense_rows(gradient), out);
        return out;
    }

   private:
    [[nodiscard]] Handle gathered(const Handle& x) const {
        const Handle out = Cpu::empty(shape.key_extents(), x.dtype);
        visible.gather(Cpu::dense_rows(x), out);
        return out;
    }
};

/// The shape of an attention. Throws unless the operands fit together and a mask, if there is one, has a flag for each
/// key.
[[nodiscard]] inline AttentionShape checked_attention(const Handle& q, const Handle& k, const Handle& v, MaskKind mask,
                                                      const Handle& key_mask) {
    const AttentionShape shape = AttentionShape::of(q, k, v, mask);
    if (key_mask.defined()) {
        require(key_mask.dtype == DType::i64, "attention: a mask of ", name_of(key_mask.dtype), ", expected ",
                name_of(DType::i64));
        require(key_mask.extents() == Extents{shape.batch, shape.keys}, "attention: a mask ", key_mask.extents(),
                " for keys ", k.extents());
    }
    return shape;
}

[[nodiscard]] inline AttentionResult<Handle> attend(const Handle& q, const Handle& k, const Handle& v, double scale,
                                                    const AttentionShape& shape, const Handle& key_mask) {
    if (!key_mask.defined()) {
        return attend(q, k, v, scale, shape);
    }
    const MaskedAttention m(k, v, shape, key_mask);
    return attend(q, m.keys, m.values, scale, m.shape);
}

[[nodiscard]] inline AttentionGradients<Handle> attention_gradients(const Handle& q, const Handle& k, const Handle& v,
                                                                    const AttentionResult<Handle>& y, const Handle& g,
                                                                    double scale, const AttentionShape& shape,
                                                                    const Handle& key_mask) {
    if (!key_mask.defined()) {
        return attention_gradients(q, k, v, y, g, scale, shape);
    }
    const MaskedAttention m(k, v, shape, key_mask);
    const AttentionGradients<Handle> d = attention_gradients(q, m.keys, m.values, y, g, scale, m.shape);
    return {d.query, m.spread(d.key, k), m.spread(d.value, v)};
}

}  // namespace cpu

FLOWFAR_INLINE AttentionResult<Handle> Cpu::attention(const Handle& q, const Handle& k, const Handle& v, double scale,
                                                      MaskKind mask, const Handle& key_mask) {
    const AttentionShape shape = cpu::checked_attention(q, k, v, mask, key_mask);
    if (shape.keys > 0 && cpu::takes_bf16(q, k, v)) {
        const cpu::FlushSubnormals flush;
        return cpu::attend(q, k, v, scale, shape, key_mask);
    }
    return cpu::route([=](const Handle& hq, const Handle& hk,
                          const Handle& hv) { return cpu::attend(hq, hk, hv, scale, shape, key_mask); },
                      [&] { return Reference::attention(q, k, v, scale, mask, key_mask); }, q, k, v);
}

FLOWFAR_INLINE AttentionGradients<Handle> Cpu::attention_backward(const Handle& q, const Handle& k, const Handle& v,
                                                                  const AttentionResult<Handle>& y, const Handle& g,
                                                                  double scale, MaskKind mask, const Handle& key_mask) {
    const AttentionShape shape = cpu::checked_attention(q, k, v, mask, key_mask);
    return cpu::route(
        [=](const Handle& hq, const Handle& hk, const Handle& hv, const Handle& output, const Handle& log_sum_exp,
            const Handle& hg) {
            return cpu::attention_gradients(hq, hk, hv, {output, log_sum_exp}, hg, scale, shape, key_mask);
        },
        [&] { return Reference::attention_backward(q, k, v, y, g, scale, mask, key_mask); }, q, k, v, y.output,
        y.log_sum_exp, g);
}

}  // namespace flowfar
