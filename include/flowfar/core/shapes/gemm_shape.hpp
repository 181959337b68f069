#pragma once

#include "flowfar/core/handle.hpp"

namespace flowfar {

/// The run-time sizes of a matrix product: a [batch…, M, K] times b [batch…, K, N] or [K, N].
struct GemmShape {
    Extents result;  ///< [batch…, M, N]
    Extents right;   ///< [batch…, K, N]: b, repeated for every batch of a

    /// Throws unless a and b, and the bias [N] where it is defined, fit together.
    [[nodiscard]] static GemmShape of(const Handle& a, const Handle& b, const Handle& bias) {
        require(a.rank() >= 2 && b.rank() >= 2 && b.extents()[b.rank() - 2] == a.extents().back(),
                "gemm: ", a.extents(), " times ", b.extents());
        GemmShape shape{a.extents(), a.extents()};
        shape.result[a.rank() - 1] = b.extents().back();
        shape.right[a.rank() - 2] = a.extents().back();
        shape.right[a.rank() - 1] = b.extents().back();
        require(!bias.defined() || bias.count() == shape.result.back(), "gemm: a bias of ", bias.extents(), " for ",
                shape.result.back(), " columns");
        if (b.rank() > 2) {
            static_cast<void>(expanded(b.layout, shape.right));  // throws unless the batches of a and b agree
        }
        return shape;
    }
};

}  // namespace flowfar
