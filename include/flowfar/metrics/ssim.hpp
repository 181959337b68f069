#pragma once

/// Structural similarity of two images (Wang, Bovik, Sheikh & Simoncelli 2004) in its two usual conventions.

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/metrics/psnr.hpp"

namespace flowfar::metrics {

/// The smallest and the largest possible value of a pixel. SSIM needs both: its luminance term compares means with a
/// constant, and so depends on where black lies.
struct ValueRange {
    double low, high;
};
inline constexpr ValueRange byte_range{0, 255};
inline constexpr ValueRange unit_range{0, 1};
inline constexpr ValueRange signed_unit_range{-1, 1};

/// Published numbers differ by the window, so say which one was used.
enum class SsimWindow : std::uint8_t {
    uniform7,   ///< 7 x 7 with equal weights and sample covariance (N / (N - 1)): scikit-image's default
    gaussian11  ///< 11 x 11 Gaussian of sigma 1.5, weighted covariance: the original paper
};

namespace detail {

/// One-dimensional weights, which sum to 1; the window is their outer product.
[[nodiscard]] inline std::vector<double> window_weights(SsimWindow window) {
    if (window == SsimWindow::uniform7) {
        return std::vector<double>(7, 1.0 / 7);
    }
    std::vector<double> weights(11);
    double sum = 0;
    for (std::size_t i = 0; i < weights.size(); ++i) {
        const double distance = static_cast<double>(i) - 5;
        weights[i] = std::exp(-distance * distance / (2 * 1.5 * 1.5));
        sum += weights[i];
    }
    for (double& weight : weights) {
        weight /= sum;
    }
    return weights;
}

/// Weighted means of a, b, a^2, b^2 and ab, where both are distances from the smallest possible value.
using Moments = std::array<double, 5>;

/// (2 ma mb + c1)(2 cov + c2) / ((ma^2 + mb^2 + c1)(va + vb + c2)).
[[nodiscard]] inline double similarity(const Moments& m, double c1, double c2, double covariance_factor) {
    const double variance_a = covariance_factor * (m[2] - m[0] * m[0]);
    const double variance_b = covariance_factor * (m[3] - m[1] * m[1]);
    const double covariance = covariance_factor * (m[4] - m[0] * m[1]);
    return (2 * m[0] * m[1] + c1) * (2 * covariance + c2) /
           ((m[0] * m[0] + m[1] * m[1] + c1) * (variance_a + variance_b + c2));
}

/// Moments of every window position within one row of length `width`: [width - weights + 1].
inline void row_moments(const float* a, const float* b, double low, std::span<const double> weights,
                        std::span<Moments> out) {
    for (std::size_t x = 0; x < out.size(); ++x) {
        Moments sum{};
        for (std::size_t k = 0; k < weights.size(); ++k) {
            const double va = static_cast<double>(a[x + k]) - low;
            const double vb = static_cast<double>(b[x + k]) - low;
            sum[0] += weights[k] * va;
            sum[1] += weights[k] * vb;
            sum[2] += weights[k] * va * va;
            sum[3] += weights[k] * vb * vb;
            sum[4] += weights[k] * va * vb;
        }
        out[x] = sum;
    }
}

}  // namespace detail

/// Side of the window in pixels; smaller images have no SSIM.
[[nodiscard]] constexpr Index ssim_window_side(SsimWindow window) {
    return window == SsimWindow::uniform7 ? 7 : 11;
}

/// Mean structural similarity of two planar images [channels, height, width]: K1 = 0.01, K2 = 0.03, averaged over all
/// window positions inside the image and over channels. Values are measured from `range.low`, so that images in [-1, 1]
/// with `signed_unit_range` give what their bytes give with `byte_range`, as everybody computes it. Throws `Error` for
/// sizes that do not match, images smaller than the window, non-finite values and a range that is empty or infinite.
[[nodiscard]] inline double ssim(std::span<const float> a, std::span<const float> b, Index channels, Index height,
                                 Index width, ValueRange range, SsimWindow window = SsimWindow::uniform7) {
    const std::vector<double> weights = detail::window_weights(window);
    const std::size_t side = weights.size();
    const Index least = static_cast<Index>(side);
    require(channels >= 1 && height >= least && width >= least, "ssim: image [", channels, ", ", height, ", ", width,
            "] is smaller than the window of ", least, " x ", least);
    // divisions, because products of wrong extents may overflow
    const Index count = static_cast<Index>(a.size());
    require(count % channels == 0 && count / channels % height == 0 && count / channels / height == width,
            "ssim: expected [", channels, ", ", height, ", ", width, "], found ", a.size(), " values");
    const double extent = range.high - range.low;
    detail::check_images("ssim", a, b, extent);

    const double c1 = 0.01 * extent * 0.01 * extent;
    const double c2 = 0.03 * extent * 0.03 * extent;
    const double samples = static_cast<double>(side * side);
    const double covariance_factor = window == SsimWindow::uniform7 ? samples / (samples - 1) : 1.0;
    const std::size_t row_length = static_cast<std::size_t>(width);
    const std::size_t columns = row_length - side + 1;
    const std::size_t rows = static_cast<std::size_t>(height) - side + 1;
    std::vector<detail::Moments> horizontal(static_cast<std::size_t>(height) * columns);
    double total = 0;
    for (std::size_t channel = 0; channel < static_cast<std::size_t>(channels); ++channel) {
        for (std::size_t y = 0; y < static_cast<std::size_t>(height); ++y) {
            const std::size_t offset = (channel * static_cast<std::size_t>(height) + y) * row_length;
            detail::row_moments(a.data() + offset, b.data() + offset, range.low, weights,
                                std::span(horizontal).subspan(y * columns, columns));
        }
        for (std::size_t y = 0; y < rows; ++y) {
            for (std::size_t x = 0; x < columns; ++x) {
                detail::Moments moments{};
                for (std::size_t k = 0; k < side; ++k) {
                    for (std::size_t m = 0; m < moments.size(); ++m) {
                        moments[m] += weights[k] * horizontal[(y + k) * columns + x][m];
                    }
                }
                total += detail::similarity(moments, c1, c2, covariance_factor);
            }
        }
    }
    return total / (static_cast<double>(rows * columns) * static_cast<double>(channels));
}

}  // namespace flowfar::metrics
