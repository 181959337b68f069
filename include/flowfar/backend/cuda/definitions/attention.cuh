#pragma once

/// `Cuda`'s attention.

#include "flowfar/backend/cuda/attention.cuh"
#include "flowfar/backend/cuda/definitions/route.cuh"

namespace flowfar {

AttentionResult<Handle> Cuda::attention(const Handle& q, const Handle& k, const Handle& v, double scale,
                                        MaskKind mask) {
    return cuda::route([=](const Handle& hq, const Handle& hk,
                           const Handle& hv) { return cuda::attention<Cuda>(hq, hk, hv, scale, mask); },
                       q, k, v);
}

AttentionGradients<Handle> Cuda::attention_backward(const Handle& q, const Handle& k, const Handle& v,
                                                    const AttentionResult<Handle>& y, const Handle& g, double scale,
                                                    MaskKind mask) {
    return cuda::route(
        [&](const Handle& hq, const Handle& hk, const Handle& hv, const Handle& output, const Handle& cotangent) {
            return cuda::attention_backward<Cuda>(hq, hk, hv, {output, y.log_sum_exp}, cotangent, scale, mask);
        },
        q, k, v, y.output, g);
}

}  // namespace flowfar
