#pragma once

#include "flowfar/backend/rows.hpp"
#include "flowfar/core/handle.hpp"

namespace flowfar::cpu {

/// Row r of a [C] or [batch, C] operand beside x [batch, …, C]; null for all rows if the operand is undefined. Its rows
/// are dense.
class PerRow {
   public:
    PerRow() = default;
    PerRow(const Handle& operand, const Extents& x, const char* what) {
        if (!operand.defined()) {
            return;
        }
        const Extents& e = operand.extents();
        require(e.back() == x.back() && (e.rank() == 1 || (e.rank() == 2 && (e[0] == x[0] || e[0] == 1))), what,
                ": an operand of ", e, " per row or batch element of ", x);
        data_ = operand.data<float>();
        if (e.rank() == 2 && e[0] > 1) {
            stride_ = operand.layout.stride(0);
            rows_ = row_count(x) / e[0];
        }
    }

    [[nodiscard]] const float* row(Index r) const { return stride_ == 0 ? data_ : data_ + r / rows_ * stride_; }

   private:
    const float* data_ = nullptr;
    Index stride_ = 0;  ///< from one batch element to the next
    Index rows_ = 1;    ///< of one batch element
};

}  // namespace flowfar::cpu
