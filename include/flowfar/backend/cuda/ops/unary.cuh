#pragma once

/// `Cuda`'s elementwise operations of one tensor.

#include "flowfar/backend/cuda/kernels/elementwise/unary_map.cuh"
#include "flowfar/backend/cuda/ops/route.cuh"

namespace flowfar {

Handle Cuda::unary(Unary op, const Handle& x) {
    return cuda::route(
        [op](const Handle& h) {
            const Handle out = empty(h.extents(), h.dtype);
            cuda::loops::unary(out, op, h);
            return out;
        },
        x);
}

Handle Cuda::unary_backward(Unary op, const Handle& x, const Handle& y, const Handle& g) {
    return cuda::route(
        [op](const Handle& hg, const Handle& state) {
            const Handle out = empty(hg.extents(), hg.dtype);
            cuda::loops::unary_backward(out, op, state, hg);
            return out;
        },
        g, backward_uses_output(op.op) ? y : (backward_uses_input(op.op) ? x : Handle{}));
}

}  // namespace flowfar
