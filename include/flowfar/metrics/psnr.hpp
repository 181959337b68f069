#pragma once

/// Peak signal-to-noise ratio of two images, and of many pairs.

#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"

namespace flowfar::metrics {

namespace detail {

/// Throws `Error` unless the images have the same, positive number of finite values and the range is positive.
inline void check_images(const char* metric, std::span<const float> a, std::span<const float> b, double range) {
    require(a.size() == b.size(), metric, ": images of ", a.size(), " and ", b.size(), " values");
    require(!a.empty(), metric, ": empty images");
    require(range > 0 && range < std::numeric_limits<double>::infinity(), metric,
            ": expected a positive finite data range, found ", range);
    for (std::size_t i = 0; i < a.size(); ++i) {
        require(std::isfinite(a[i]) && std::isfinite(b[i]), metric, ": value ", i, " is not finite: ", a[i], " and ",
                b[i]);
    }
}

}  // namespace detail

/// Mean of (a - b)^2 in double. Throws `Error` for different sizes, empty images and non-finite values.
[[nodiscard]] inline double mean_squared_error(std::span<const float> a, std::span<const float> b) {
    detail::check_images("mean_squared_error", a, b, 1.0);
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
        sum += difference * difference;
    }
    return sum / static_cast<double>(a.size());
}

/// 10 log10(range^2 / mean squared error) in dB over all values of one image; infinite for equal images. `range` is the
/// distance between the smallest and largest possible value: 2 for images in [-1, 1], 255 for bytes. Throws `Error` for
/// different sizes, empty images, non-finite values and a range that is not positive.
[[nodiscard]] inline double psnr(std::span<const float> a, std::span<const float> b, double range) {
    detail::check_images("psnr", a, b, range);
    return 10 * std::log10(range * range / mean_squared_error(a, b));
}

/// PSNR of many pairs of images in both usual ways, which differ where some images are harder than others.
class PsnrAverage {
   public:
    /// `range` as for `psnr`; throws `Error` unless it is positive and finite.
    explicit PsnrAverage(double range) : range_(range) {
        require(range > 0 && range < std::numeric_limits<double>::infinity(),
                "PsnrAverage: expected a positive finite data range, found ", range);
    }

    /// Throws `Error` as `psnr` does.
    void add(std::span<const float> a, std::span<const float> b) {
        const double error = mean_squared_error(a, b);
        decibels_ += 10 * std::log10(range_ * range_ / error);
        squares_ += error * static_cast<double>(a.size());
        values_ += static_cast<double>(a.size());
        ++count_;
    }

    [[nodiscard]] Index count() const { return count_; }
    /// Mean of the pairs' PSNR in dB; infinite if any pair is equal. Throws `Error` if there is none.
    [[nodiscard]] double per_image() const {
        require(count_ > 0, "PsnrAverage: no images");
        return decibels_ / static_cast<double>(count_);
    }
    /// PSNR in dB of the squared error over all values of all pairs. Throws `Error` if there is none.
    [[nodiscard]] double per_batch() const {
        require(count_ > 0, "PsnrAverage: no images");
        return 10 * std::log10(range_ * range_ / (squares_ / values_));
    }

   private:
    double range_;
    double decibels_ = 0;
    double squares_ = 0;
    double values_ = 0;
    Index count_ = 0;
};

}  // namespace flowfar::metrics
