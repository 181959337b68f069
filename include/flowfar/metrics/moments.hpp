#pragma once

/// Mean and covariance of feature rows in one pass: streamed in any number of pieces, merged across processes.

#include <span>
#include <vector>

#include "flowfar/config.hpp"
#include "flowfar/core/dtype.hpp"

namespace flowfar::metrics {

/// The Gaussian that a set of features is summarized by: what a Fréchet distance compares and what files hold.
struct FeatureStatistics {
    Index count = 0;                 ///< rows seen; 0 if a file did not say
    std::vector<double> mean;        ///< [width]
    std::vector<double> covariance;  ///< [width, width], divided by count - 1

    [[nodiscard]] Index width() const { return static_cast<Index>(mean.size()); }
};

namespace detail {

/// Throws `Error` unless `rows` holds whole rows of `width` finite values; returns their number.
Index check_rows(const char* metric, std::span<const float> rows, Index width);

}  // namespace detail

/// Collects rows of `width` features. Blocks are centered on their own mean before their products are summed, and
/// joined by the update of Chan, Golub & LeVeque (1983), so that a large common offset costs no digits. Sums are in
/// double.
class FeatureMoments {
   public:
    explicit FeatureMoments(Index width);

    /// Adds rows [n, width], n >= 0. Throws `Error` for a part of a row and for values that are not finite; nothing is
    /// added then.
    void add(std::span<const float> rows);

    /// Adds everything that `other` collected. Throws `Error` for another width.
    void merge(const FeatureMoments& other);

    [[nodiscard]] Index width() const { return width_; }
    [[nodiscard]] Index count() const { return count_; }

    /// Throws `Error` with fewer than two rows, which have no covariance.
    [[nodiscard]] FeatureStatistics statistics() const;

   private:
    void add_block(const float* rows, Index count);
    void join(Index count, const std::vector<double>& mean, const std::vector<double>& scatter);

    Index width_;
    Index count_ = 0;
    std::vector<double> mean_;
    std::vector<double> scatter_;  ///< [width, width], column by column: lower triangle of the sum of centered products
};

}  // namespace flowfar::metrics

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/metrics/moments.ipp"
#endif
