#pragma once

/// Weights of one-dimensional resampling in double: each output sample is a weighted sum of a window of input samples.
/// An image is resampled by applying the weights to its rows and then to its columns.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/core/memory_pool.hpp"

namespace flowfar {

/// The input samples first .. first + weights.size() - 1 and their weights (sum 1) for one output sample.
struct ResampleWindow {
    Index first = 0;
    std::vector<double> weights;
};

namespace detail {

inline void check_resample_sizes(Index in, Index out) {
    require(in > 0 && out > 0, "resampling: expected positive sizes, found ", in, " -> ", out);
}

/// Center of output sample `i` on the input axis, where input sample k covers [k, k + 1).
inline double resample_center(Index i, Index in, Index out) {
    return (static_cast<double>(i) + 0.5) * static_cast<double>(in) / static_cast<double>(out);
}

}  // namespace detail

/// The function of a resampling filter and the half width outside which it is zero.
struct BoxKernel {
    static constexpr double support = 0.5;
    double operator()(double x) const { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }
};

/// Linear interpolation: max(0, 1 - |x|).
struct TriangleKernel {
    static constexpr double support = 1.0;
    double operator()(double x) const { return std::max(0.0, 1.0 - std::abs(x)); }
};

/// Keys' cubic convolution with parameter `a` (his own choice is -0.5; -0.75 is common too):
/// (a + 2)|x|^3 - (a + 3)|x|^2 + 1 for |x| < 1, a(|x|^3 - 5|x|^2 + 8|x| - 4) for |x| < 2.
struct CubicKernel {
    static constexpr double support = 2.0;
    double a = -0.5;
    double operator()(double x) const {
        x = std::abs(x);
        if (x < 1.0) {
            return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
        }
        return x < 2.0 ? a * (((x - 5.0) * x + 8.0) * x - 4.0) : 0.0;
    }
};

/// Antialiased windows: when shrinking, the kernel is stretched by in / out, so that every input sample counts. Weights
/// outside the axis are dropped and the rest is normalized to sum 1.
template <class Kernel>
[[nodiscard]] std::vector<ResampleWindow> antialiased_windows(Index in, Index out, const Kernel& kernel) {
    detail::check_resample_sizes(in, out);
    const double stretch = std::max(1.0, static_cast<double>(in) / static_cast<double>(out));
    const double reach = Kernel::support * stretch;
    std::vector<ResampleWindow> windows(static_cast<std::size_t>(out));
    for (Index i = 0; i < out; ++i) {
        const double center = detail::resample_center(i, in, out);
        // The window takes the samples whose own centers k + 0.5 lie within reach.
        const Index first = std::max(Index{0}, static_cast<Index>(std::floor(center - reach + 0.5)));
        const Index last = std::min(in, static_cast<Index>(std::floor(center + reach + 0.5)));
        ResampleWindow& window = windows[static_cast<std::size_t>(i)];
        window.first = first;
        double sum = 0.0;
        for (Index k = first; k < last; ++k) {
            const double weight = kernel((static_cast<double>(k) + 0.5 - center) / stretch);
            window.weights.push_back(weight);
            sum += weight;
        }
        for (double& weight : window.weights) {
            weight /= sum;
        }
    }
    return windows;
}

/// Dense matrix [out][in] of the windows.
[[nodiscard]] inline PoolVector<double> dense_weights(const std::vector<ResampleWindow>& windows, Index in) {
    PoolVector<double> dense(windows.size() * static_cast<std::size_t>(in), 0.0);
    for (std::size_t i = 0; i < windows.size(); ++i) {
        std::ranges::copy(windows[i].weights, dense.begin() + static_cast<Index>(i) * in + windows[i].first);
    }
    return dense;
}

namespace detail {

/// Plain interpolation between the nearest samples, whatever the scale; indices beyond the ends use the end sample.
template <class Kernel>
PoolVector<double> interpolation_weights(Index in, Index out, const Kernel& kernel) {
    check_resample_sizes(in, out);
    PoolVector<double> dense(static_cast<std::size_t>(in) * static_cast<std::size_t>(out), 0.0);
    constexpr Index reach = static_cast<Index>(Kernel::support);
    for (Index i = 0; i < out; ++i) {
        const double position = resample_center(i, in, out) - 0.5;
        const Index left = static_cast<Index>(std::floor(position));
        for (Index k = left - reach + 1; k <= left + reach; ++k) {
            const Index inside = std::clamp(k, Index{0}, in - 1);
            dense[static_cast<std::size_t>(i * in + inside)] += kernel(position - static_cast<double>(k));
        }
    }
    return dense;
}

}  // namespace detail

/// Adaptive average pooling, [out][in]: output i is the mean of inputs floor(i in / out) .. ceil((i + 1) in / out) - 1.
/// Also defined for out > in, where windows of one or two samples repeat.
[[nodiscard]] inline PoolVector<double> area_weights(Index in, Index out) {
    detail::check_resample_sizes(in, out);
    PoolVector<double> dense(static_cast<std::size_t>(in) * static_cast<std::size_t>(out), 0.0);
    for (Index i = 0; i < out; ++i) {
        const Index first = i * in / out;
        const Index last = ((i + 1) * in + out - 1) / out;
        std::fill(dense.begin() + i * in + first, dense.begin() + i * in + last,
                  1.0 / static_cast<double>(last - first));
    }
    return dense;
}

/// Whether resampling to fewer samples widens the kernel, so that every sample counts.
enum class Antialias : std::uint8_t { off, on };

/// Bilinear resampling of one axis with half-pixel centers, [out][in]. Without antialiasing, two neighbors are
/// interpolated and the borders are clamped (torch: align_corners=False).
[[nodiscard]] inline PoolVector<double> bilinear_weights(Index in, Index out, Antialias antialias) {
    return antialias == Antialias::on ? dense_weights(antialiased_windows(in, out, TriangleKernel{}), in)
                                      : detail::interpolation_weights(in, out, TriangleKernel{});
}

/// Bilinear interpolation as TensorFlow 1 does it, [out][in]: sample i lies at i · in / out, between the nearest two.
[[nodiscard]] inline PoolVector<double> corner_bilinear_weights(Index in, Index out) {
    detail::check_resample_sizes(in, out);
    PoolVector<double> dense(static_cast<std::size_t>(in) * static_cast<std::size_t>(out), 0.0);
    for (Index i = 0; i < out; ++i) {
        const Index left = i * in / out;
        const double part = static_cast<double>(i * in % out) / static_cast<double>(out);
        dense[static_cast<std::size_t>(i * in + left)] += 1.0 - part;
        dense[static_cast<std::size_t>(i * in + std::min(left + 1, in - 1))] += part;
    }
    return dense;
}

/// Bicubic resampling of one axis with half-pixel centers, [out][in]. torch uses a = -0.75 without antialiasing
/// (borders clamped); Pillow, and torch when antialiasing, use a = -0.5.
[[nodiscard]] inline PoolVector<double> bicubic_weights(Index in, Index out, Antialias antialias, double a) {
    return antialias == Antialias::on ? dense_weights(antialiased_windows(in, out, CubicKernel{a}), in)
                                      : detail::interpolation_weights(in, out, CubicKernel{a});
}

}  // namespace flowfar
