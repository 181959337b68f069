#pragma once

#include "flowfar/core/ops.hpp"

namespace flowfar {

/// The typed operations on images [batch, channels, height, width].

/// Convolution with zeros around the image: x [batch, In, h, w], weight [Out, In, kh, kw], bias [Out] → [batch, Out,
/// (h + top + bottom − kh) / stride + 1, (w + left + right − kw) / stride + 1], rounded down.
template <AnyTensor X, AnyTensor W, AnyTensor V>
[[nodiscard]] auto conv2d(const X& x, const W& weight, const V& bias, const ConvOptions& options = {}) {
    static_assert(std::is_same_v<typename X::Backend, typename W::Backend>,
                  "conv2d: input and weight live on different backends");
    static_assert(X::Shape::rank == 4 && W::Shape::rank == 4 && V::Shape::rank == 1,
                  "conv2d: the input is [batch, in, height, width], the weight [out, in, kh, kw], the bias [out]");
    static_assert(Mismatch<X::Shape::at(1), W::Shape::at(1)>::none,
                  "conv2d: the input must have as many channels as the weight's second extent");
    static_assert(Mismatch<V::Shape::at(0), W::Shape::at(0)>::none, "conv2d: one bias per row of the weight");
    using S = Shape<X::Shape::at(0), W::Shape::at(0), dyn, dyn>;
    return WithShape<X, S>(
        X::Backend::conv2d(x.operand("conv2d"), weight.operand("conv2d"), bias.optional_operand("conv2d"), options));
}

/// Group norm (Wu & He 2018): x [batch, channels, …], weight and bias [channels]; `groups` divides the channels.
template <AnyTensor X, AnyTensor W, AnyTensor V>
[[nodiscard]] X group_norm(const X& x, const W& weight, const V& bias, Index groups, double epsilon = 1e-6) {
    static_assert(X::Shape::rank >= 2 && W::Shape::rank == 1 && V::Shape::rank == 1,
                  "group_norm: the input is [batch, channels, …], weight and bias are vectors");
    static_assert(Mismatch<X::Shape::at(1), W::Shape::at(0)>::none && Mismatch<X::Shape::at(1), V::Shape::at(0)>::none,
                  "group_norm: one weight and one bias per channel");
    return X(X::Backend::group_norm(x.operand("group_norm"), weight.operand("group_norm"), bias.operand("group_norm"),
                                    groups, epsilon));
}

/// Every pixel four times: [batch, channels, h, w] → [batch, channels, 2h, 2w].
template <AnyTensor X>
[[nodiscard]] auto upsample_nearest2(const X& x) {
    static_assert(X::Shape::rank == 4, "upsample_nearest2: the input is [batch, channels, height, width]");
    constexpr auto twice = [](Index extent) { return extent == dyn ? dyn : 2 * extent; };
    using S = Shape<X::Shape::at(0), X::Shape::at(1), twice(X::Shape::at(2)), twice(X::Shape::at(3))>;
    return WithShape<X, S>(X::Backend::upsample_nearest2(x.operand("upsample_nearest2")));
}

/// Maximum or mean of windows: [batch, channels, h, w] → [batch, channels, (h + top + bottom − height) / stride + 1,
/// (w + left + right − width) / stride + 1], rounded down, or up with `ceil`.
template <AnyTensor X>
[[nodiscard]] auto pool2d(const X& x, const PoolOptions& options) {
    static_assert(X::Shape::rank == 4, "pool2d: the input is [batch, channels, height, width]");
    using S = Shape<X::Shape::at(0), X::Shape::at(1), dyn, dyn>;
    return WithShape<X, S>(X::Backend::pool2d(x.operand("pool2d"), options));
}

/// Means over all pixels: [batch, channels, h, w] → [batch, channels].
template <AnyTensor X>
[[nodiscard]] auto spatial_mean(const X& x) {
    static_assert(X::Shape::rank == 4, "spatial_mean: the input is [batch, channels, height, width]");
    const Axes pixels = Axes::only(2) | Axes::only(3);
    using S = Shape<X::Shape::at(0), X::Shape::at(1)>;
    return WithShape<X, S>(X::Backend::reduce(ReduceOp::mean, x.operand("spatial_mean"), pixels, ReducedAxes::drop));
}

}  // namespace flowfar
