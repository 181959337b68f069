#pragma once

#include "flowfar/core/handle.hpp"

namespace flowfar {

/// Layout arithmetic that every plain backend B inherits: nothing is copied, except by `reshape` where it must be.
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
};

}  // namespace flowfar
