#pragma once

/// Images of another size as products with two small matrices, one per axis: differentiable without rules of their own.

#include <cstdint>

#include "flowfar/core/images/resample.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"

namespace flowfar {

/// How the pixels of a resized image follow from the original's.
enum class Resize : std::uint8_t {
    bilinear,              ///< half-pixel centers, two neighbors (torch: align_corners=False)
    bilinear_antialiased,  ///< the same, stretched when shrinking (torch: antialias=True; Pillow)
    bilinear_corner,       ///< TensorFlow 1: sample i lies at i · in / out, two neighbors
    bicubic_antialiased,   ///< a = −0.5, stretched when shrinking (torch: antialias=True; Pillow)
    bicubic,               ///< a = −0.75, four neighbors, edges clamped (torch: align_corners=False)
    area                   ///< the mean of what a pixel covers (torch: adaptive average pooling)
};

/// The matrix [out, in] of one axis, row-major.
[[nodiscard]] inline PoolVector<double> resize_weights(Index in, Index out, Resize method) {
    switch (method) {
        case Resize::bilinear:
            return bilinear_weights(in, out, Antialias::off);
        case Resize::bilinear_antialiased:
            return bilinear_weights(in, out, Antialias::on);
        case Resize::bilinear_corner:
            return corner_bilinear_weights(in, out);
        case Resize::bicubic_antialiased:
            return bicubic_weights(in, out, Antialias::on, -0.5);
        case Resize::bicubic:
            return bicubic_weights(in, out, Antialias::off, -0.75);
        case Resize::area:
            return area_weights(in, out);
    }
    fail("resize: no method ", static_cast<int>(method));
}

namespace detail {

/// x [batch, channels, h, n] times the transpose of `matrix` [rows, n] → [batch, channels, h, rows].
template <AnyTensor X>
[[nodiscard]] auto resample_last(const X& x, const PoolVector<double>& matrix, Index rows) {
    using Matrix = Tensor<typename X::Backend, Shape<dyn, dyn>, double>;
    const auto weights = cast<typename X::Element>(Matrix::from_host(matrix, {rows, x.extent(3)}));
    return matmul(x, transpose(weights));
}

}  // namespace detail

/// x [batch, channels, h, w] → [batch, channels, height, width]; an axis that keeps its size is left alone.
template <AnyTensor X>
[[nodiscard]] auto resize(const X& x, Index height, Index width, Resize method) {
    static_assert(X::Shape::rank == 4, "resize: the input is [batch, channels, height, width]");
    using Any = WithShape<X, Shape<X::Shape::at(0), X::Shape::at(1), dyn, dyn>>;
    Any y(x);
    if (width != x.extent(3)) {
        y = detail::resample_last(y, resize_weights(x.extent(3), width, method), width);
    }
    if (height != x.extent(2)) {
        y = transpose(detail::resample_last(transpose(y), resize_weights(x.extent(2), height, method), height));
    }
    return y;
}

}  // namespace flowfar
