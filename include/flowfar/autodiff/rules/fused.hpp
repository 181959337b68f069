#pragma once

#include "flowfar/autodiff/record.hpp"

namespace flowfar::rules {

/// Normalizations, rotary embedding and attention on tracked handles.
template <PlainBackend B>
struct Fused {
    using Handle = Tracked<B>;
    using H = typename B::Handle;

    [[nodiscard]] static Handle layer_norm(const Handle& x, const Handle& scale, const Handle& shift,
                                           NormOptions options) {
        return record<B>(
            B::layer_norm(x.value, scale.value, shift.value, options), {&x, &scale, &shift},
            [vx = x.value, vs = scale.value, vb = shift.value, options](const H& g, const Cotangents<B>& grads) {
                give(B::layer_norm_backward(vx, vs, vb, g, options), grads);
            });
    }
    [[nodiscard]] static Handle rms_norm(const Handle& x, const Handle& scale, NormOptions options) {
        return record<B>(B::rms_norm(x.value, scale.value, options), {&x, &scale, nullptr},
                         [vx = x.value, vs = scale.value, options](const H& g, const Cotangents<B>& grads) {
                             give(B::rms_norm_backward(vx, vs, g, options), grads);
                         });
    }
    /// The rotation is orthogonal, so its gradient is the rotation back. cos and sin are constants.
    [[nodiscard]] static Handle rope(const Handle& x, const Handle& cos, const Handle& sin, Rotation rotation) {
        return record<B>(B::rope(x.value, cos.value, sin.value, rotation), {&x},
                         [c = cos.value, s = sin.value,
                          back = rotation == Rotation::forward ? Rotation::inverse : Rotation::forward](
                             const H& g, const Cotangents<B>& grads) { grads.add(0, B::rope(g, c, s, back)); });
    }
    [[nodiscard]] static AttentionResult<Handle> attention(const Handle& q, const Handle& k, const Handle& v,
                                                           double scale, MaskKind mask, const Handle& key_mask = {}) {
        const AttentionResult<H> y = B::attention(q.value, k.value, v.value, scale, mask, key_mask.value);
        return {record<B>(y.output, {&q, &k, &v},
                          [vq = q.value, vk = k.value, vv = v.value, y, scale, mask, flags = key_mask.value](
                              const H& g, const Cotangents<B>& grads) {
                              const auto d = B::attention_backward(vq, vk, vv, y, g, scale, mask, flags);
                              grads.add(0, d.query);
                              grads.add(1, d.key);
                              grads.add(2, d.value);
                          }),
                {y.log_sum_exp, nullptr}};
    }

   private:
    static void give(const NormGradients<H>& d, const Cotangents<B>& grads) {
        grads.add(0, d.input);
        if (d.scale.defined()) {
            grads.add(1, d.scale);
        }
        if (d.shift.defined()) {
            grads.add(2, d.shift);
        }
    }
};

}  // namespace flowfar::rules
