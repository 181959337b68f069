#pragma once

/// `Cpu`'s elementwise operations of two and three tensors.

#include "flowfar/backend/cpu/kernels/rows/elementwise.hpp"
#include "flowfar/backend/cpu/ops/route.hpp"

namespace flowfar {

FLOWFAR_INLINE Handle Cpu::binary(BinaryOp op, const Handle& x, const Handle& y) {
    return cpu::route(
        [op](const Handle& a, const Handle& b) {
            return cpu::Elementwise::binary(empty(broadcast(a.extents(), b.extents(), "binary"), a.dtype), op, a, b);
        },
        [&] { return Reference::binary(op, x, y); }, x, y);
}

FLOWFAR_INLINE Handle Cpu::binary_backward(BinaryOp op, Operand operand, const Handle& x, const Handle& y,
                                           const Handle& z, const Handle& g) {
    return cpu::route(
        [op, operand](const Handle& a, const Handle& b, const Handle& result, const Handle& cotangent) {
            const Extents& extents = cotangent.extents();
            return cpu::Elementwise::binary_backward(empty(extents, cotangent.dtype), op, operand,
                                                     contiguous(expand(a, extents)), contiguous(expand(b, extents)),
                                                     contiguous(result), contiguous(cotangent));
        },
        [&] { return Reference::binary_backward(op, operand, x, y, z, g); }, x, y, z, g);
}

FLOWFAR_INLINE Handle Cpu::where(const Handle& condition, const Handle& x, const Handle& y) {
    const Handle choice = cast(condition, x.dtype);
    return cpu::route(
        [](const Handle& a, const Handle& b, const Handle& c) {
            const Extents extents = broadcast(c.extents(), broadcast(a.extents(), b.extents(), "where"), "where");
            return cpu::Elementwise::where(empty(extents, a.dtype), c, a, b);
        },
        [&] { return Reference::where(choice, x, y); }, x, y, choice);
}

FLOWFAR_INLINE Handle Cpu::multiply_add(const Handle& x, const Handle& factor, const Handle& addend, FactorKind kind) {
    return cpu::route(
        [kind](const Handle& a, const Handle& b, const Handle& c) {
            const Extents product = broadcast(a.extents(), b.extents(), "multiply_add");
            const Extents extents = broadcast(product, c.extents(), "multiply_add");
            return cpu::Elementwise::multiply_add(empty(extents, a.dtype), a, b, c, kind);
        },
        [&] { return Reference::multiply_add(x, factor, addend, kind); }, x, factor, addend);
}

FLOWFAR_INLINE void Cpu::add_into(const Handle& target, const Handle& source) {
    cpu::BlockCache::changes(target);
    if (target.dtype == DType::f32) {
        cpu::Elementwise::binary(target, BinaryOp::add, target, cast(source, DType::f32));
    } else {
        assign(target, binary(BinaryOp::add, target, source));
    }
}

}  // namespace flowfar
