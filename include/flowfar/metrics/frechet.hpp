#pragma once

/// The Fréchet distance between two sets of features, each taken for a Gaussian (Heusel et al. 2017).

#include <cstdint>
#include <string>

#include "flowfar/config.hpp"
#include "flowfar/metrics/moments.hpp"

namespace flowfar::metrics {

/// How the trace of (C1 C2)^1/2 is computed. Exact arithmetic would make both equal; published numbers name theirs.
enum class TraceForm : std::uint8_t {
    eigenvalues,  ///< roots of the eigenvalues of C1^1/2 C2 C1^1/2, which is symmetric: fast, and stable at low rank
    /// roots of the eigenvalues of C1 C2, which is what the trace of scipy's sqrtm(C1 C2) consists of; 1e-6 is added to
    /// both diagonals only if that fails, as pytorch-fid and the ADM evaluator do. Where rounding cannot show, by a
    /// faster way; at low rank, where it does, some 20 times slower than the other form
    sqrtm
};

/// A distance with what went into it.
struct FrechetDistance {
    double value = 0;            ///< mean_part + covariance_part, not below 0
    double mean_part = 0;        ///< |m1 - m2|^2
    double covariance_part = 0;  ///< tr C1 + tr C2 - 2 tr (C1 C2)^1/2
    /// Not empty if a covariance cannot have full rank for want of samples: the value then says little.
    std::string warning;
};

/// |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^1/2 in double. Throws `Error` for different widths, values that are not
/// finite, fewer than two samples, and matrices that are no covariances.
[[nodiscard]] FrechetDistance frechet_distance(const FeatureStatistics& a, const FeatureStatistics& b,
                                               TraceForm form = TraceForm::eigenvalues);

}  // namespace flowfar::metrics

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/metrics/frechet.ipp"
#endif
