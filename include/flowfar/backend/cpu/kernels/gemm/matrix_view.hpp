#pragma once

#include "flowfar/core/handle.hpp"

namespace flowfar::cpu {

/// A matrix operand: `row_major` with leading stride `ld`, or its transpose.
template <class T>
struct View {
    const T* data;
    Index ld;
    bool row_major;

    /// The last two axes of a handle, `offset` elements on; one of them has stride 1.
    [[nodiscard]] static View of(const Handle& h, Index offset = 0) {
        const int rank = h.rank();
        const bool rows = h.layout.stride(rank - 1) == 1 || h.extents()[rank - 1] == 1;
        return {h.data<T>() + offset, h.layout.stride(rows ? rank - 2 : rank - 1), rows};
    }
    /// The rows from `row` on.
    [[nodiscard]] View from_row(Index row) const { return {data + row * (row_major ? ld : 1), ld, row_major}; }
};

using MatrixView = View<float>;

}  // namespace flowfar::cpu
