#pragma once

/// `Cuda`'s elementwise operations of two and three tensors.

#include "flowfar/backend/cuda/kernels/elementwise/binary_map.cuh"
#include "flowfar/backend/cuda/ops/route.cuh"

namespace flowfar {

Handle Cuda::binary(BinaryOp op, const Handle& x, const Handle& y) {
    return cuda::route(
        [op](const Handle& a, const Handle& b) {
            const Handle out = empty(broadcast(a.extents(), b.extents(), "binary"), a.dtype);
            cuda::loops::binary(out, op, a, b);
            return out;
        },
        x, y);
}

Handle Cuda::binary_backward(BinaryOp op, Operand operand, const Handle& x, const Handle& y, const Handle& z,
                             const Handle& g) {
    return cuda::route(
        [op, operand](const Handle& a, const Handle& b, const Handle& result, const Handle& cotangent) {
            const Handle out = empty(cotangent.extents(), cotangent.dtype);
            cuda::loops::binary_backward(out, op, operand, a, b, result, cotangent);
            return out;
        },
        x, y, z, g);
}

Handle Cuda::where(const Handle& condition, const Handle& x, const Handle& y) {
    return cuda::route(
        [](const Handle& a, const Handle& b, const Handle& chosen) {
            const Extents extents = broadcast(chosen.extents(), broadcast(a.extents(), b.extents(), "where"), "where");
            const Handle out = empty(extents, a.dtype);
            cuda::loops::where(out, chosen, a, b);
            return out;
        },
        x, y, cast(condition, x.dtype));
}

Handle Cuda::multiply_add(const Handle& x, const Handle& factor, const Handle& addend, FactorKind kind) {
    return cuda::route(
        [kind](const Handle& a, const Handle& b, const Handle& c) {
            const Extents product = broadcast(a.extents(), b.extents(), "multiply_add");
            const Handle out = empty(broadcast(product, c.extents(), "multiply_add"), a.dtype);
            cuda::loops::multiply_add(out, a, b, c, kind);
            return out;
        },
        x, factor, addend);
}

void Cuda::add_into(const Handle& target, const Handle& source) {
    require(target.dtype == DType::f32 || target.dtype == DType::f64 || target.dtype == DType::bf16,
            "add_into: expected F32, F64 or BF16 elements, found ", name_of(target.dtype));
    cuda::loops::binary(target, BinaryOp::add, target, cast(source, target.dtype));
}

}  // namespace flowfar
