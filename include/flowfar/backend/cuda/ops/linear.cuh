#pragma once

/// `Cuda`'s matrix products.

#include "flowfar/backend/cuda/kernels/gemm/gemm_lt.cuh"
#include "flowfar/backend/cuda/ops/route.cuh"
#include "flowfar/core/shapes/gemm_shape.hpp"

namespace flowfar {

Handle Cuda::gemm(const Handle& x, const Handle& y, const Handle& bias, GemmOptions options) {
    const GemmShape shape = GemmShape::of(x, y, bias);
    if (cuda::rounds_operands(x.dtype) && y.dtype == x.dtype) {
        const Handle out = empty(shape.result, x.dtype);
        cuda::Gemm::run(out, cuda::cast_in_order(x, DType::bf16), cuda::cast_in_order(y, DType::bf16),
                        dense(cast_defined(bias, x.dtype)), options);
        return out;
    }
    // A bias is added in f32; rounding it first costs no more than rounding the sum.
    const Handle added = bias.defined() && x.dtype == DType::bf16 ? cast(bias, DType::bf16) : bias;
    return cuda::route(
        [&](const Handle& a, const Handle& b, const Handle& c) {
            const Handle out = empty(shape.result, a.dtype);
            cuda::Gemm::run(out, a, b, dense(c), options);
            return out;
        },
        x, y, added);
}

}  // namespace flowfar
