#pragma once

/// Named tolerances and the comparison that all suites use: relative L2 distance, plus a bound on the worst element.

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "flowfar/core/dtype.hpp"

namespace flowfar::testing {

namespace approx {

/// Elementwise arithmetic in float: a few units in the last place.
inline constexpr double f32 = 1e-6;
/// One rounding to bfloat16 (half a unit in the last place is 2^-9).
inline constexpr double bf16 = 0x1p-8;
/// Gradients in double against central differences.
inline constexpr double difference = 2e-7;

/// Sums of n terms in float, added in any order.
[[nodiscard]] inline double reduction(Index n) {
    return f32 + 1e-7 * std::sqrt(static_cast<double>(n));
}

/// The tolerance of an operation that sums n terms per element and stores its result as `dtype`.
[[nodiscard]] inline double of(DType dtype, Index n = 1) {
    return dtype == DType::bf16 ? bf16 : dtype == DType::f64 ? 1e-12 : reduction(n);
}

}  // namespace approx

/// ‖found − expected‖ / ‖expected‖ in the Euclidean norm.
[[nodiscard]] inline double relative_l2(const std::vector<double>& found, const std::vector<double>& expected) {
    double distance = 0.0;
    double norm = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        distance += (found[i] - expected[i]) * (found[i] - expected[i]);
        norm += expected[i] * expected[i];
    }
    return norm == 0.0 ? std::sqrt(distance) : std::sqrt(distance / norm);
}

/// What is wrong with `found`, or nothing. NaN and infinity must be where they are expected; the rest must agree to
/// `tolerance` in the L2 sense, and no element may be off by more than 16 tolerances of the largest one.
[[nodiscard]] inline std::string difference_of(const std::vector<double>& found, const std::vector<double>& expected,
                                               double tolerance) {
    if (found.size() != expected.size()) {
        return std::to_string(found.size()) + " elements, expected " + std::to_string(expected.size());
    }
    std::vector<double> a;
    std::vector<double> b;
    double largest = 0.0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        if (!std::isfinite(found[i]) || !std::isfinite(expected[i])) {
            if (!(found[i] == expected[i] || (std::isnan(found[i]) && std::isnan(expected[i])))) {
                return "element " + std::to_string(i) + " is " + std::to_string(found[i]) + ", expected " +
                       std::to_string(expected[i]);
            }
            continue;
        }
        a.push_back(found[i]);
        b.push_back(expected[i]);
        largest = std::max(largest, std::fabs(expected[i]));
    }
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (std::fabs(a[i] - b[i]) > 16.0 * tolerance * std::max(largest, 1e-30)) {
            return "finite element " + std::to_string(i) + " is " + std::to_string(a[i]) + ", expected " +
                   std::to_string(b[i]);
        }
    }
    const double error = relative_l2(a, b);
    return error <= tolerance ? "" : text("relative L2 distance ", error, ", allowed ", tolerance);
}

}  // namespace flowfar::testing
