#pragma once

/// What networks expect of images: a checked range, and channels shifted and scaled as in their training.

#include <array>
#include <cmath>

#include "flowfar/autodiff/autodiff.hpp"
#include "flowfar/core/ops.hpp"

namespace flowfar {

/// Throws unless all pixels are numbers in [−1, 1], up to the rounding of a resize.
template <AnyTensor X>
void check_signed_unit(const X& images, std::string_view what) {
    using B = Plain<typename X::Backend>;
    using Scalar = Tensor<B, Shape<>, typename X::Element>;
    const Axes all = Axes::all(X::Shape::rank);
    const auto magnitudes = B::unary({UnaryOp::abs}, value_of<typename X::Backend>(images.handle()));
    // A maximum may pass over NaN; a sum does not.
    require(std::isfinite(Scalar(B::reduce(ReduceOp::sum, magnitudes, all, false)).item()), what,
            ": the images contain NaN or infinity");
    const auto largest = images.extents().count() == 0
                             ? 0.0
                             : static_cast<double>(Scalar(B::reduce(ReduceOp::max, magnitudes, all, false)).item());
    require(largest <= 1.0 + 1e-5, what, ": expected pixels in [-1, 1], found one of magnitude ", largest);
}

/// (x − mean) / deviation per channel: x [batch, 3, h, w].
template <AnyTensor X>
[[nodiscard]] X standardise_channels(const X& x, const std::array<double, 3>& mean,
                                     const std::array<double, 3>& deviation) {
    using T = typename X::Element;
    using Channels = WithShape<X, Shape<3, 1, 1>>;
    std::array<T, 3> shift{};
    std::array<T, 3> scale{};
    for (std::size_t c = 0; c < 3; ++c) {
        shift[c] = static_cast<T>(mean[c]);
        scale[c] = static_cast<T>(1.0 / deviation[c]);
    }
    return (x - Channels::from_host(shift, {3, 1, 1})) * Channels::from_host(scale, {3, 1, 1});
}

}  // namespace flowfar
