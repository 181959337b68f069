#pragma once

/// Improved precision and recall of generated samples in a feature space (Kynkäänniemi et al. 2019): how many generated
/// samples lie on the manifold of the real ones, and how much of that manifold the generated ones cover.

#include <span>

#include "flowfar/config.hpp"
#include "flowfar/core/dtype.hpp"

namespace flowfar::metrics {

struct PrecisionRecall {
    double precision = 0;  ///< share of generated samples inside the estimated manifold of the real ones
    double recall = 0;     ///< share of real samples inside the generated manifold
};

struct PrecisionRecallOptions {
    Index neighbors = 3;  ///< a sample's ball reaches to this neighbor of its own set
    Index block = 2048;   ///< rows compared at a time: block^2 distances are in memory, never a whole matrix
};

/// Precision and recall of generated feature rows [m, width] against real ones [n, width]. Memory grows with the rows,
/// not with their product; 50,000 x 10,000 rows of 2048 take about 1 GB. Throws `Error` for values that are not finite,
/// parts of rows, and sets that do not have more rows than neighbors.
[[nodiscard]] PrecisionRecall precision_recall(std::span<const float> real, std::span<const float> generated,
                                               Index width, const PrecisionRecallOptions& options = {});

}  // namespace flowfar::metrics

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/metrics/precision_recall.ipp"
#endif
