#pragma once

#include <algorithm>

#include "flowfar/backend/cpu/kernels/rows/row_loops.hpp"
#include "flowfar/core/handle.hpp"

namespace flowfar::cpu {

/// Nearest-neighbor doubling of images and its gradient; all operands are contiguous.
namespace upsampling {

/// Rows of `width` input pixels for a task.
inline Index grain(Index width) {
    return std::max<Index>(1, elementwise_grain / std::max<Index>(4 * width, 1));
}

/// x [batch, channels, h, w] → y [batch, channels, 2h, 2w].
inline void forward(const Handle& x, const Handle& y) {
    const Index width = x.extents()[3];
    parallel_for(row_count(x.extents()), grain(width), [&](Index begin, Index end) {
        for (Index row = begin; row < end; ++row) {
            const float* const in = x.data<float>() + row * width;
            float* const out = y.data<float>() + row * 4 * width;
            for (Index i = 0; i < width; ++i) {
                out[2 * i] = out[2 * i + 1] = in[i];
            }
            std::copy_n(out, 2 * width, out + 2 * width);
        }
    });
}
/// g [batch, channels, 2h, 2w] → dx [batch, channels, h, w].
inline void backward(const Handle& g, const Handle& dx) {
    const Index width = dx.extents()[3];
    parallel_for(row_count(dx.extents()), grain(width), [&](Index begin, Index end) {
        for (Index row = begin; row < end; ++row) {
            const float* const upper = g.data<float>() + row * 4 * width;
            const float* const lower = upper + 2 * width;
            float* const out = dx.data<float>() + row * width;
            for (Index i = 0; i < width; ++i) {
                out[i] = (upper[2 * i] + upper[2 * i + 1]) + (lower[2 * i] + lower[2 * i + 1]);
            }
        }
    });
}

}  // namespace upsampling

}  // namespace flowfar::cpu
