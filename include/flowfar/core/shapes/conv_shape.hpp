#pragma once

#include "flowfar/core/layout.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar {

/// The run-time sizes of one 2-D convolution: x [batch, in, height, width] with weight [out, in, kernel_height,
/// kernel_width] gives [batch, out, out_height, out_width].
struct ConvShape {
    Index batch;
    Index in;
    Index height;
    Index width;
    Index out;
    Index kernel_height;
    Index kernel_width;
    Index out_height;
    Index out_width;
    ConvOptions options;

    /// Throws unless input, weight and options fit together.
    [[nodiscard]] static ConvShape of(const Extents& x, const Extents& weight, const ConvOptions& o) {
        require(x.rank() == 4 && weight.rank() == 4, "conv2d: expected four axes each, found input ", x, " and weight ",
                weight);
        require(x[1] == weight[1] && x[1] > 0 && weight[0] > 0 && weight[2] > 0 && weight[3] > 0, "conv2d: input ", x,
                " and weight ", weight);
        require(o.stride >= 1 && o.top >= 0 && o.left >= 0 && o.bottom >= 0 && o.right >= 0, "conv2d: stride ",
                o.stride, ", padding ", o.top, ", ", o.left, ", ", o.bottom, ", ", o.right);
        const Index rows = x[2] + o.top + o.bottom - weight[2];
        const Index columns = x[3] + o.left + o.right - weight[3];
        require(rows >= 0 && columns >= 0, "conv2d: the padded input ", x, " is smaller than the kernel of ", weight);
        return {x[0], x[1], x[2], x[3], weight[0], weight[2], weight[3], rows / o.stride + 1, columns / o.stride + 1,
                o};
    }
    /// `of` for a backward pass; the gradient's extents must be the output's.
    [[nodiscard]] static ConvShape of(const Extents& x, const Extents& weight, const Extents& g, const ConvOptions& o) {
        const ConvShape shape = of(x, weight, o);
        require(shape.output() == g, "conv2d: the output has extents ", shape.output(), ", its gradient ", g);
        return shape;
    }
    [[nodiscard]] Extents output() const { return {batch, out, out_height, out_width}; }
    [[nodiscard]] Index pixels() const { return out_height * out_width; }
    [[nodiscard]] Index taps() const { return kernel_height * kernel_width; }
};

/// Throws unless `groups` divides the channels of x [batch, channels, …] and weight and bias are [channels] or absent.
inline void check_group_norm(const Extents& x, Index weights, Index biases, Index groups) {
    require(x.rank() >= 2 && groups >= 1 && x[1] % groups == 0, "group_norm: ", groups, " groups for input ", x);
    require(weights == x[1] && biases == x[1], "group_norm: ", weights, " weights and ", biases, " biases for input ",
            x);
}

}  // namespace flowfar
