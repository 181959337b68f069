#pragma once

#include <algorithm>

#include "flowfar/core/layout.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar {

/// A reduction over any axes as one over the middle of [outer, middle, inner].
struct ReduceShape {
    Extents result;  ///< what the reduction gives
    Extents order;   ///< how to permute the operand's axes first; empty where the reduced axes are neighbors already
    Index outer = 1;
    Index middle = 1;
    Index inner = 1;

    [[nodiscard]] static ReduceShape of(const Extents& x, Axes axes, ReducedAxes reduced) {
        ReduceShape shape;
        int first = x.rank();
        int last = -1;
        int count = 0;
        for (int axis = 0; axis < x.rank(); ++axis) {
            if (!axes.contains(axis)) {
                shape.result.push_back(x[axis]);
                continue;
            }
            if (reduced == ReducedAxes::keep) {
                shape.result.push_back(1);
            }
            first = std::min(first, axis);
            last = axis;
            ++count;
        }
        const bool apart = last - first + 1 > count;
        for (int axis = 0; axis < x.rank(); ++axis) {
            const bool before = apart || (count > 0 && axis < first);
            (axes.contains(axis) ? shape.middle : (before ? shape.outer : shape.inner)) *= x[axis];
        }
        if (apart) {  // the reduced axes come last
            for (const bool wanted : {false, true}) {
                for (int axis = 0; axis < x.rank(); ++axis) {
                    if (axes.contains(axis) == wanted) {
                        shape.order.push_back(axis);
                    }
                }
            }
        }
        return shape;
    }
};

}  // namespace flowfar
