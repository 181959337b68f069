#pragma once

/// `Cuda`'s attention.

#include "flowfar/backend/cuda/ops/attention_engine.cuh"
#include "flowfar/backend/cuda/ops/route.cuh"

namespace flowfar {

void cuda::choose_attention(AttentionKernels kernels) {
    AttentionChoice::instance().choose(kernels);
}
cuda::AttentionKernels cuda::chosen_attention() {
    return AttentionChoice::instance().chosen();
}
cuda::AttentionKernels cuda::attention_kernels_for(std::int64_t width) {
    return AttentionChoice::instance().kernels_for(width);
}

AttentionResult<Handle> Cuda::attention(const Handle& q, const Handle& k, const Handle& v, double scale, MaskKind mask,
                                        const Handle& key_mask) {
    if (key_mask.defined()) {  // its products round as they do everywhere
        return cuda::attention<Cuda>(q, k, v, scale, mask, key_mask);
    }
    if (cuda::rounds_operands(q.dtype)) {
        const auto narrow = [](const Handle& h) { return cuda::cast_in_order(h, DType::bf16); };
        const AttentionResult<Handle> y = cuda::attention<Cuda>(narrow(q), narrow(k), narrow(v), scale, mask);
        return {cuda::cast_in_order(y.output, DType::f32), y.log_sum_exp};
    }
    return cuda::route([=](const Handle& hq, const Handle& hk,
                           const Handle& hv) { return cuda::attention<Cuda>(hq, hk, hv, scale, mask); },
                       q, k, v);
}

AttentionGradients<Handle> Cuda::attention_backward(const Handle& q, const Handle& k, const Handle& v,
                                                    const AttentionResult<Handle>& y, const Handle& g, double scale,
                                                    MaskKind mask, const Handle& key_mask) {
    if (key_mask.defined()) {
        return cuda::attention_backward<Cuda>(q, k, v, y, g, scale, mask, key_mask);
    }
    if (cuda::rounds_operands(q.dtype)) {
        const auto narrow = [](const Handle& h) { return cuda::cast_in_order(h, DType::bf16); };
        const AttentionGradients<Handle> d = cuda::attention_backward<Cuda>(
            narrow(q), narrow(k), narrow(v), {narrow(y.output), y.log_sum_exp}, narrow(g), scale, mask);
        const auto widen = [](const Handle& h) { return cuda::cast_in_order(h, DType::f32); };
        return {widen(d.query), widen(d.key), widen(d.value)};
    }
    return cuda::route(
        [&](const Handle& hq, const Handle& hk, const Handle& hv, const Handle& output, const Handle& cotangent) {
            return cuda::attention_backward<Cuda>(hq, hk, hv, {output, y.log_sum_exp}, cotangent, scale, mask);
        },
        q, k, v, y.output, g);
}

}  // namespace flowfar
