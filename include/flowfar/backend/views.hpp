#pragma once

#include <span>

#include "flowfar/core/handle.hpp"

namespace flowfar {

/// Layout arithmetic that every plain backend B inherits, from its `empty`, `contiguous`, `cast` and `assign`. Views
/// copy nothing, except `reshape` where it must.
template <class B>
struct Views {
    [[nodiscard]] static Handle reshape(const Handle& x, const Extents& extents) {
        if (const auto layout = reshaped(x.layout, extents)) {
            return x.with(*layout);
        }
        const Handle copy = B::contiguous(x);
        return copy.with(contiguous_layout(extents));
    }
    [[nodiscard]] static Handle permute(const Handle& x, const Extents& order) {
        return x.with(permuted(x.layout, order));
    }
    [[nodiscard]] static Handle slice(const Handle& x, int axis, Index begin, Index end) {
        return x.with(sliced(x.layout, axis, begin, end));
    }
    [[nodiscard]] static Handle expand(const Handle& x, const Extents& extents) {
        return x.with(expanded(x.layout, extents));
    }

    /// Contiguous, or undefined if x is.
    [[nodiscard]] static Handle dense(const Handle& x) { return x.defined() ? B::contiguous(x) : x; }
    /// With rows of the last axis that have no gaps, or undefined if x is.
    [[nodiscard]] static Handle dense_rows(const Handle& x) {
        return !x.defined() || x.layout.stride(x.rank() - 1) == 1 || x.extents().back() == 1 ? x : B::contiguous(x);
    }
    /// In another element type, or undefined if x is.
    [[nodiscard]] static Handle cast_defined(const Handle& x, DType dtype) {
        return x.defined() ? B::cast(x, dtype) : x;
    }
    /// A new [batch, heads, tokens, width] that lies as [batch, tokens, heads, width], so that merging the heads costs
    /// nothing.
    [[nodiscard]] static Handle token_major(const Extents& e, DType dtype) {
        return permute(B::empty({e[0], e[2], e[1], e[3]}, dtype), {0, 2, 1, 3});
    }
    [[nodiscard]] static Handle concat(std::span<const Handle> parts, int axis) {
        Extents extents = parts[0].extents();
        extents[axis] = 0;
        for (const Handle& part : parts) {
            extents[axis] += part.extents()[axis];
        }
        const Handle out = B::empty(extents, parts[0].dtype);
        Index position = 0;
        for (const Handle& part : parts) {
            const Index length = part.extents()[axis];
            B::assign(slice(out, axis, position, position + length), part);
            position += length;
        }
        return out;
    }
};

}  // namespace flowfar
