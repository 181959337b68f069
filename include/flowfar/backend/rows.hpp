#pragma once

/// Loops over the rows of strided views, and layouts brought into a form that makes such rows long.

#include <algorithm>
#include <array>
#include <cstddef>

#include "flowfar/core/layout.hpp"

namespace flowfar {

/// Visits rows (all axes but the last) [begin, end) of N equally shaped views and calls
/// `f(row, offsets)` with the N element offsets of each row's start, relative to the views' first elements. It is
/// inlined so that loops may be compiled for other instructions than the unit's (cpu::with_instructions).
template <std::size_t N, class F>
[[gnu::always_inline]] inline void for_each_row(const Extents& extents, const std::array<const Layout*, N>& layouts,
                                                Index begin, Index end, F&& f) {
    if (begin >= end) {
        return;  // an extent of 0 has no row index to split into axes
    }
    const int outer = extents.rank() - 1;
    std::array<Index, max_rank> index{};
    std::array<Index, N> offsets{};
    Index rest = begin;
    for (int axis = outer - 1; axis >= 0; --axis) {
        const auto a = static_cast<std::size_t>(axis);
        index[a] = rest % extents[axis];
        rest /= extents[axis];
        for (std::size_t n = 0; n < N; ++n) {
            offsets[n] += index[a] * layouts[n]->stride(axis);
        }
    }
    for (Index row = begin; row < end; ++row) {
        f(row, offsets);
        for (int axis = outer - 1; axis >= 0; --axis) {
            const auto a = static_cast<std::size_t>(axis);
            for (std::size_t n = 0; n < N; ++n) {
                offsets[n] += layouts[n]->stride(axis);
            }
            if (++index[a] < extents[axis]) {
                break;
            }
            for (std::size_t n = 0; n < N; ++n) {
                offsets[n] -= extents[axis] * layouts[n]->stride(axis);
            }
            index[a] = 0;
        }
    }
}

/// Number of rows that `for_each_row` visits.
[[nodiscard]] inline Index row_count(const Extents& extents) {
    return extents.rank() == 0 ? 1 : extents.count() / std::max<Index>(extents.back(), 1);
}

/// A layout with rank at least 1, for row loops over scalars.
[[nodiscard]] inline Layout with_row_axis(Layout layout) {
    if (layout.rank() == 0) {
        layout.extents.push_back(1);
        layout.set_stride(0, 1);
    }
    return layout;
}

/// Merges neighboring axes that all views stride through evenly, so that rows become as long as possible.
template <std::size_t N>
void merge_axes(std::array<Layout*, N> layouts) {
    Layout& first = *layouts[0];
    for (int axis = first.rank() - 2; axis >= 0; --axis) {
        bool mergeable = true;
        for (const Layout* layout : layouts) {
            mergeable = mergeable && (layout->stride(axis) == layout->stride(axis + 1) * first.extents[axis + 1] ||
                                      first.extents[axis] == 1);
        }
        if (!mergeable && first.extents[axis + 1] != 1) {
            continue;
        }
        const bool inner_is_one = first.extents[axis + 1] == 1;
        for (Layout* layout : layouts) {
            Layout merged;
            merged.offset = layout->offset;
            for (int old = 0; old < layout->rank(); ++old) {
                if (old == axis + 1) {
                    continue;
                }
                const bool is_pair = old == axis;
                merged.extents.push_back(is_pair ? layout->extents[axis] * layout->extents[axis + 1]
                                                 : layout->extents[old]);
                const bool keep_outer = !is_pair || inner_is_one;
                merged.set_stride(merged.rank() - 1, layout->stride(keep_outer ? old : axis + 1));
            }
            *layout = merged;
        }
    }
}

}  // namespace flowfar
