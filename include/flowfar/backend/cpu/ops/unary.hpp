#pragma once

/// `Cpu`'s elementwise operations of one tensor.

#include "flowfar/backend/cpu/kernels/rows/elementwise.hpp"
#include "flowfar/backend/cpu/ops/route.hpp"

namespace flowfar {

FLOWFAR_INLINE Handle Cpu::unary(Unary op, const Handle& x) {
    return cpu::route(
        [op](const Handle& h) { return cpu::Elementwise::unary(empty(h.extents(), h.dtype), op, contiguous(h)); },
        [&] { return Reference::unary(op, x); }, x);
}

FLOWFAR_INLINE Handle Cpu::unary_backward(Unary op, const Handle& x, const Handle& y, const Handle& g) {
    return cpu::route(
        [op](const Handle& hg, const Handle& hx, const Handle& hy) {
            const Handle out = empty(hg.extents(), hg.dtype);
            return cpu::Elementwise::unary_backward(out, op, dense(hx), dense(hy), contiguous(hg));
        },
        [&] { return Reference::unary_backward(op, x, y, g); }, g, x, y);
}

}  // namespace flowfar
