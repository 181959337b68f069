#pragma once

#include <algorithm>

#include "flowfar/backend/cpu/kernels/rows/row_loops.hpp"
#include "flowfar/core/handle.hpp"
#include "flowfar/core/shapes/pooling_shape.hpp"

namespace flowfar::cpu {

/// Maxima and means of windows and their gradients. Tasks own whole channels, so that overlapping windows never meet in
/// two threads. All operands are contiguous.
class Pool {
   public:
    explicit Pool(const PoolShape& shape) : s_(shape) {}

    /// x [batch, channels, h, w] → y [batch, channels, out_height, out_width].
    void forward(const Handle& x, const Handle& y) const {
        for_each_window([&](Index plane, Index at, const Range& rows, const Range& columns) {
            const float* const image = x.data<float>() + plane * pixels();
            y.data<float>()[at] = s_.options.kind == PoolKind::max ? image[largest(image, rows, columns)]
                                                                   : sum(image, rows, columns) * share(rows, columns);
        });
    }
    /// Adds g's shares to dx (zeros before); x is needed for maxima only.
    void backward(const Handle& x, const Handle& g, const Handle& dx) const {
        for_each_window([&](Index plane, Index at, const Range& rows, const Range& columns) {
            float* const out = dx.data<float>() + plane * pixels();
            const float value = g.data<float>()[at];
            if (s_.options.kind == PoolKind::max) {
                out[largest(x.data<float>() + plane * pixels(), rows, columns)] += value;
                return;
            }
            const float each = value * share(rows, columns);
            for (Index row = rows.begin; row < rows.end; ++row) {
                for (Index column = columns.begin; column < columns.end; ++column) {
                    out[row * s_.windows.width + column] += each;
                }
            }
        });
    }

   private:
    using Range = PoolShape::Range;

    [[nodiscard]] Index pixels() const { return s_.windows.height * s_.windows.width; }
    [[nodiscard]] static float share(const Range& rows, const Range& columns) {
        return 1.0F / static_cast<float>(rows.counted * columns.counted);
    }
    /// The first of the largest pixels; NaN counts as larger than any number.
    [[nodiscard]] Index largest(const float* image, const Range& rows, const Range& columns) const {
        Index best = rows.begin * s_.windows.width + columns.begin;
        for (Index row = rows.begin; row < rows.end; ++row) {
            for (Index column = columns.begin; column < columns.end; ++column) {
                const Index at = row * s_.windows.width + column;
                best = image[at] <= image[best] || image[best] != image[best] ? best : at;
            }
        }
        return best;
    }
    [[nodiscard]] float sum(const float* image, const Range& rows, const Range& columns) const {
        float total = 0.0F;
        for (Index row = rows.begin; row < rows.end; ++row) {
            for (Index column = columns.begin; column < columns.end; ++column) {
                total += image[row * s_.windows.width + column];
            }
        }
        return total;
    }
    /// Calls `f(plane, index of the output, rows, columns)` for every window of every channel.
    template <class F>
    void for_each_window(F&& f) const {
        const ConvShape& w = s_.windows;
        const Index work = std::max<Index>(w.pixels() * w.taps(), 1);
        parallel_for(w.batch * w.in, std::max<Index>(1, elementwise_grain / work), [&](Index begin, Index end) {
            for (Index plane = begin; plane < end; ++plane) {
                Index at = plane * w.pixels();
                for (Index row = 0; row < w.out_height; ++row) {
                    const Range rows = s_.rows(row);
                    for (Index column = 0; column < w.out_width; ++column, ++at) {
                        f(plane, at, rows, s_.columns(column));
                    }
                }
            }
        });
    }

    PoolShape s_;
};

}  // namespace flowfar::cpu
