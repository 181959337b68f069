#pragma once

/// What frechet.hpp declares. Eigen takes long to compile: programs may do it in one unit (see config.hpp).

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>

#include "flowfar/core/error.hpp"
#include "flowfar/metrics/covariance_root.hpp"
#include "flowfar/metrics/frechet.hpp"

namespace flowfar::metrics {

namespace detail {

inline void check_statistics(const FeatureStatistics& s, const char* which) {
    const auto width = static_cast<std::size_t>(s.width());
    require(width > 0, "frechet_distance: the ", which, " statistics are empty");
    require(s.covariance.size() == width * width, "frechet_distance: the ", which, " covariance has ",
            s.covariance.size(), " values, expected ", width, " x ", width);
    require(s.count == 0 || s.count >= 2, "frechet_distance: the ", which, " statistics are of ", s.count,
            " samples, expected at least 2");
    double largest = 0;
    for (const double value : s.mean) {
        require(std::isfinite(value), "frechet_distance: the ", which, " mean is not finite: ", value);
    }
    for (const double value : s.covariance) {
        require(std::isfinite(value), "frechet_distance: the ", which, " covariance is not finite: ", value);
        largest = std::max(largest, std::fabs(value));
    }
    for (std::size_t i = 0; i < width; ++i) {
        require(s.covariance[i * width + i] >= 0, "frechet_distance: the ", which, " variance ", i,
                " is negative: ", s.covariance[i * width + i]);
        for (std::size_t j = 0; j < i; ++j) {
            const double a = s.covariance[i * width + j];
            const double b = s.covariance[j * width + i];
            require(std::fabs(a - b) <= 1e-6 * largest, "frechet_distance: the ", which,
                    " covariance is not symmetric: [", i, ", ", j, "] ", a, " and ", b);
        }
    }
}

inline std::string rank_warning(const FeatureStatistics& s, const char* which) {
    if (s.count == 0 || s.count > s.width()) {
        return "";
    }
    return text("the ", which, " covariance of ", s.count, " samples has rank ", s.count - 1, " at most, in ",
                s.width(), " dimensions; ");
}

}  // namespace detail

FLOWFAR_INLINE FrechetDistance frechet_distance(const FeatureStatistics& a, const FeatureStatistics& b,
                                                TraceForm form) {
    detail::check_statistics(a, "first");
    detail::check_statistics(b, "second");
    require(a.width() == b.width(), "frechet_distance: features of width ", a.width(), " and ", b.width());
    const Index width = a.width();
    const detail::ConstMatrix first(a.covariance.data(), width, width);
    const detail::ConstMatrix second(b.covariance.data(), width, width);
    const double root = form == TraceForm::eigenvalues ? detail::symmetric_root_trace(first, second)
                                                       : detail::sqrtm_trace(first, second);
    FrechetDistance out;
    for (std::size_t i = 0; i < a.mean.size(); ++i) {
        out.mean_part += (a.mean[i] - b.mean[i]) * (a.mean[i] - b.mean[i]);
    }
    out.covariance_part = first.trace() + second.trace() - 2 * root;
    out.value = std::max(0.0, out.mean_part + out.covariance_part);  // rounding alone can make it negative
    out.warning = detail::rank_warning(a, "first") + detail::rank_warning(b, "second");
    if (!out.warning.empty()) {
        out.warning = "frechet_distance: " + out.warning + "use more samples than dimensions";
    }
    return out;
}

}  // namespace flowfar::metrics
