#pragma once

/// What fid_convention.hpp declares. Eigen takes long to compile: programs may do it in one unit (see config.hpp).

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/core/images/resample.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/metrics/fid_convention.hpp"

namespace flowfar::metrics {

namespace detail {

/// Weights [299, in] of one axis.
FLOWFAR_INLINE PoolVector<double> fid_weights(FidResize resize, Index in) {
    require(in >= 1, "FidInput: expected images of at least one pixel, found an extent of ", in);
    switch (resize) {
        case FidResize::bilinear:
            return bilinear_weights(in, FidInput::side, Antialias::off);
        case FidResize::corner_bilinear:
            return corner_bilinear_weights(in, FidInput::side);
        case FidResize::bicubic_antialiased:
            break;
    }
    return bicubic_weights(in, FidInput::side, Antialias::on, -0.5);
}

}  // namespace detail

FLOWFAR_INLINE FidInput::FidInput(const FidConvention& convention, Index height, Index width)
    : convention_(convention),
      height_(height),
      width_(width),
      rows_(detail::fid_weights(convention.resize, height)),
      columns_(detail::fid_weights(convention.resize, width)) {}

FLOWFAR_INLINE std::vector<float> FidInput::operator()(std::span<const float> images) const {
    const auto plane = static_cast<std::size_t>(height_ * width_);
    require(images.size() % (3 * plane) == 0, "FidInput: ", images.size(), " values are no images of 3 x ", height_,
            " x ", width_);
    std::vector<float> out;
    out.reserve(images.size() / plane * static_cast<std::size_t>(side * side));
    for (; !images.empty(); images = images.subspan(plane)) {
        append(images.first(plane), out);
    }
    return out;
}

/// The value of one pixel on the scale 0..255.
FLOWFAR_INLINE double FidInput::level(float value) const {
    require(std::fabs(value) <= 1.0F + 1e-5F, "FidInput: expected pixels in [-1, 1], found ", value);
    const double out = std::clamp((static_cast<double>(value) + 1) * 127.5, 0.0, 255.0);
    return convention_.quantized ? std::round(out) : out;
}

FLOWFAR_INLINE void FidInput::append(std::span<const float> pixels, std::vector<float>& out) const {
    using Plane = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    Plane plane(height_, width_);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
        plane.data()[i] = level(pixels[i]);
    }
    const Eigen::Map<const Plane> rows(rows_.data(), side, height_);
    const Eigen::Map<const Plane> columns(columns_.data(), side, width_);
    const Plane resized = rows * plane * columns.transpose();
    for (const double value : resized.reshaped<Eigen::RowMajor>()) {
        const double kept =
            convention_.resize == FidResize::bicubic_antialiased ? std::clamp(value, 0.0, 255.0) : value;
        out.push_back(static_cast<float>(convention_.symmetric ? kept / 127.5 - 1 : (kept - 128) / 128));
    }
}

}  // namespace flowfar::metrics
