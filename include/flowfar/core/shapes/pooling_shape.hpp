#pragma once

#include <algorithm>
#include <vector>

#include "flowfar/core/shapes/conv_shape.hpp"

namespace flowfar {

/// The run-time sizes of one pooling: x [batch, channels, height, width] → [batch, channels, out_height, out_width].
struct PoolShape {
    /// The part of one axis that a window covers.
    struct Range {
        Index begin;    ///< first pixel of the image
        Index end;      ///< one past the last pixel of the image
        Index counted;  ///< pixels and zeros that a mean divides by
    };

    /// The windows as a convolution of as many channels has them, with padding so wide that all of them fit.
    ConvShape windows;
    PoolOptions options;

    /// Throws unless input and options fit together; then every window sees at least one pixel.
    [[nodiscard]] static PoolShape of(const Extents& x, const PoolOptions& options) {
        const ConvOptions& o = options.around;
        require(x.rank() == 4, "pool2d: expected four axes, found ", x);
        require(options.height >= 1 && options.width >= 1 && o.stride >= 1, "pool2d: windows of ", options.height, "×",
                options.width, ", stride ", o.stride);
        require(o.top >= 0 && o.bottom >= 0 && o.left >= 0 && o.right >= 0 && o.top < options.height &&
                    o.bottom < options.height && o.left < options.width && o.right < options.width,
                "pool2d: padding ", o.top, ", ", o.left, ", ", o.bottom, ", ", o.right, " for windows of ",
                options.height, "×", options.width, "; it must be smaller");
        const Index rows = x[2] + o.top + o.bottom - options.height;
        const Index columns = x[3] + o.left + o.right - options.width;
        require(x[2] > 0 && x[3] > 0 && rows >= 0 && columns >= 0, "pool2d: the padded input ", x,
                " is smaller than the windows of ", options.height, "×", options.width);
        const Index out_height = count(rows, x[2] + o.top, options);
        const Index out_width = count(columns, x[3] + o.left, options);
        ConvOptions around = o;
        around.bottom = std::max(o.bottom, (out_height - 1) * o.stride + options.height - x[2] - o.top);
        around.right = std::max(o.right, (out_width - 1) * o.stride + options.width - x[3] - o.left);
        return {{x[0], x[1], x[2], x[3], x[1], options.height, options.width, out_height, out_width, around}, options};
    }
    /// `of` for a backward pass; the gradient's extents must be the output's.
    [[nodiscard]] static PoolShape of(const Extents& x, const Extents& g, const PoolOptions& options) {
        const PoolShape shape = of(x, options);
        require(shape.windows.output() == g, "pool2d: the output has extents ", shape.windows.output(),
                ", its gradient ", g);
        return shape;
    }

    [[nodiscard]] constexpr Range rows(Index window) const {
        const ConvOptions& o = options.around;
        return range(window * o.stride - o.top, options.height, windows.height, o.bottom);
    }
    [[nodiscard]] constexpr Range columns(Index window) const {
        const ConvOptions& o = options.around;
        return range(window * o.stride - o.left, options.width, windows.width, o.right);
    }
    /// What a mean multiplies the sum of each window by: [out_height · out_width].
    [[nodiscard]] std::vector<double> shares() const {
        std::vector<double> out;
        for (Index row = 0; row < windows.out_height; ++row) {
            for (Index column = 0; column < windows.out_width; ++column) {
                out.push_back(1.0 / static_cast<double>(rows(row).counted * columns(column).counted));
            }
        }
        return out;
    }

   private:
    /// Windows along one axis; `limit` is where the last may not begin any more in the padded image.
    [[nodiscard]] static Index count(Index distance, Index limit, const PoolOptions& options) {
        const Index stride = options.around.stride;
        const Index windows = (distance + (options.ceil ? stride - 1 : 0)) / stride + 1;
        return (windows - 1) * stride < limit ? windows : windows - 1;
    }
    [[nodiscard]] constexpr Range range(Index begin, Index size, Index pixels, Index after) const {
        const Index first = std::max<Index>(begin, 0);
        const Index last = std::min(begin + size, pixels);
        const bool inside = options.kind == PoolKind::mean_inside;
        return {first, last, inside ? last - first : std::min(begin + size, pixels + after) - begin};
    }
};

}  // namespace flowfar
