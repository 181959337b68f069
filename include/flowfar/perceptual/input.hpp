#pragma once

/// What networks expect of images: a checked range, and channels shifted and scaled as in their training.

#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include "flowfar/autodiff/autodiff.hpp"
#include "flowfar/core/ops.hpp"

namespace flowfar {

namespace detail {

/// The largest magnitude that counts as 1: resizing rounds.
inline constexpr double signed_unit_limit = 1.0 + 1e-5;

/// A scalar that is 0, or NaN unless all elements are numbers in [−1, 1].
template <class B>
[[nodiscard]] typename B::Handle signed_unit_zero(const typename B::Handle& x) {
    const auto affine = [](double a, double b, const auto& h) { return B::unary({UnaryOp::affine, a, b}, h); };
    const Axes all = Axes::all(B::extents(x).rank());
    // A maximum may pass over NaN; a sum does not.
    const auto finite = B::reduce(ReduceOp::sum, affine(0.0, 0.0, x), all, ReducedAxes::drop);
    const auto largest = B::reduce(ReduceOp::max, B::unary({UnaryOp::abs}, x), all, ReducedAxes::drop);
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const auto excess = B::unary({UnaryOp::clamp, 0.0, infinity}, affine(1.0, -signed_unit_limit, largest));
    return B::binary(BinaryOp::add, finite, B::unary({UnaryOp::sqrt}, affine(-1.0, 0.0, excess)));
}

}  // namespace detail

/// Throws unless all pixels are numbers in [−1, 1], up to the rounding of a resize.
template <AnyTensor X>
void check_signed_unit(const X& images, std::string_view what) {
    using B = Plain<typename X::Backend>;
    using Scalar = Tensor<B, Shape<>, typename X::Element>;
    const Axes all = Axes::all(X::Shape::rank);
    const auto magnitudes = B::unary({UnaryOp::abs}, value_of<typename X::Backend>(images.handle()));
    require(std::isfinite(Scalar(B::reduce(ReduceOp::sum, magnitudes, all, ReducedAxes::drop)).item()), what,
            ": the images contain NaN or infinity");
    const auto largest =
        images.extents().count() == 0
            ? 0.0
            : static_cast<double>(Scalar(B::reduce(ReduceOp::max, magnitudes, all, ReducedAxes::drop)).item());
    require(largest <= detail::signed_unit_limit, what, ": expected pixels in [-1, 1], found one of magnitude ",
            largest);
}

/// A loss of images that are checked so. In training no step shall wait for a device: there a loss of other images is
/// NaN, which the step's report turns into an error.
template <AnyTensor X, AnyTensor Loss>
[[nodiscard]] Loss loss_of_signed_unit(const X& images, const Loss& loss, std::string_view what) {
    using B = typename X::Backend;
    if constexpr (is_autodiff<B> && RunsAhead<Plain<B>>) {
        const auto zero = detail::signed_unit_zero<Plain<B>>(value_of<B>(images.handle()));
        return loss * (WithShape<Loss, Shape<>>(B::constant(zero)) + 1.0);  // a factor: gradients become NaN, too
    } else {
        check_signed_unit(images, what);
        return loss;
    }
}

/// (x − mean) / deviation per channel: x [batch, 3, h, w].
template <AnyTensor X>
[[nodiscard]] X standardize_channels(const X& x, const std::array<double, 3>& mean,
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
