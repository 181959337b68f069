#pragma once

/// What precision_recall.hpp declares. Eigen takes long to compile: programs may do it in one unit (see config.hpp).

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/metrics/moments.hpp"
#include "flowfar/metrics/precision_recall.hpp"

namespace flowfar::metrics {

namespace detail {

using GivenRows = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

/// Feature rows in double around a common origin, with their squared norms. Refers to the rows given.
class FeatureRows {
   public:
    FeatureRows(std::span<const float> rows, const Eigen::RowVectorXd& origin)
        : given_(rows.data(), static_cast<Index>(rows.size()) / origin.size(), origin.size()),
          rows_(given_.cast<double>().rowwise() - origin) {
        norms_ = rows_.rowwise().squaredNorm();
    }

    [[nodiscard]] Index count() const { return rows_.rows(); }
    [[nodiscard]] double norm(Index row) const { return norms_[row]; }
    /// Sum of squared differences of the rows as given: 0 for equal rows, and the same however rows are blocked.
    [[nodiscard]] double exact(Index row, const FeatureRows& other, Index column) const {
        return (given_.row(row).cast<double>() - other.given_.row(column).cast<double>()).squaredNorm();
    }
    /// |x|^2 + |y|^2 - 2 x y for rows [first, first + rows) of this and [start, start + columns) of `other`.
    void distances(Index first, Index rows, const FeatureRows& other, Index start, Index columns,
                   Eigen::MatrixXd& out) const {
        out.noalias() = -2 * other.rows_.middleRows(start, columns) * rows_.middleRows(first, rows).transpose();
        out.colwise() += other.norms_.segment(start, columns);
        out.rowwise() += norms_.segment(first, rows).transpose();
    }

   private:
    GivenRows given_;
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> rows_;
    Eigen::VectorXd norms_;
};

/// Squared distance of every row to its k-th nearest other row: [rows].
inline std::vector<double> neighbor_radii(const FeatureRows& set, const PrecisionRecallOptions& options) {
    struct Neighbor {
        double distance = std::numeric_limits<double>::infinity();
        Index row = -1;
    };
    const auto neighbors = static_cast<std::size_t>(options.neighbors);
    std::vector<double> radii(static_cast<std::size_t>(set.count()));
    Eigen::MatrixXd block;
    for (Index first = 0; first < set.count(); first += options.block) {
        const Index rows = std::min(options.block, set.count() - first);
        std::vector<Neighbor> nearest(static_cast<std::size_t>(rows) * neighbors);  // each row's, ascending
        for (Index start = 0; start < set.count(); start += options.block) {
            const Index columns = std::min(options.block, set.count() - start);
            set.distances(first, rows, set, start, columns, block);
            for (Index i = 0; i < rows; ++i) {
                const auto mine = std::span(nearest).subspan(static_cast<std::size_t>(i) * neighbors, neighbors);
                for (Index j = 0; j < columns; ++j) {
                    if (block(j, i) < mine.back().distance && start + j != first + i) {
                        const auto place = std::ranges::upper_bound(mine, block(j, i), {}, &Neighbor::distance);
                        std::shift_right(place, mine.end(), 1);
                        *place = {block(j, i), start + j};
                    }
                }
            }
        }
        for (Index i = 0; i < rows; ++i) {
            const Index last = nearest[static_cast<std::size_t>(i + 1) * neighbors - 1].row;
            radii[static_cast<std::size_t>(first + i)] = set.exact(first + i, set, last);
        }
    }
    return radii;
}

/// Share of `samples` that lie in the ball of at least one row of `manifold`.
inline double covered(const FeatureRows& samples, const FeatureRows& manifold, const PrecisionRecallOptions& options) {
    const std::vector<double> radii = neighbor_radii(manifold, options);
    // What rounding can do to |x|^2 + |y|^2 - 2 x y; whatever lies closer to the edge of a ball is computed again.
    constexpr double doubt = 1e-11;
    Index inside = 0;
    Eigen::MatrixXd block;
    for (Index first = 0; first < samples.count(); first += options.block) {
        const Index rows = std::min(options.block, samples.count() - first);
        std::vector<bool> found(static_cast<std::size_t>(rows));
        for (Index start = 0; start < manifold.count(); start += options.block) {
            const Index columns = std::min(options.block, manifold.count() - start);
            samples.distances(first, rows, manifold, start, columns, block);
            for (Index i = 0; i < rows; ++i) {
                for (Index j = 0; j < columns && !found[static_cast<std::size_t>(i)]; ++j) {
                    const double radius = radii[static_cast<std::size_t>(start + j)];
                    const double margin = doubt * (samples.norm(first + i) + manifold.norm(start + j));
                    const double distance = block(j, i);
                    found[static_cast<std::size_t>(i)] =
                        distance < radius - margin ||
                        (distance <= radius + margin && samples.exact(first + i, manifold, start + j) <= radius);
                }
            }
        }
        inside += std::ranges::count(found, true);
    }
    return static_cast<double>(inside) / static_cast<double>(samples.count());
}

}  // namespace detail

FLOWFAR_INLINE PrecisionRecall precision_recall(std::span<const float> real, std::span<const float> generated,
                                                Index width, const PrecisionRecallOptions& options) {
    const Index real_rows = detail::check_rows("precision_recall: real", real, width);
    const Index generated_rows = detail::check_rows("precision_recall: generated", generated, width);
    require(options.neighbors >= 1 && options.block >= 1,
            "precision_recall: expected neighbors and block of at least 1, found ", options.neighbors, " and ",
            options.block);
    require(real_rows > options.neighbors && generated_rows > options.neighbors, "precision_recall: the ",
            options.neighbors, "-th neighbor needs more rows than that, found ", real_rows, " real and ",
            generated_rows, " generated");
    // A common offset of all features would cost digits in |x|^2 + |y|^2 - 2 x y.
    const Eigen::RowVectorXd origin = detail::GivenRows(real.data(), real_rows, width).cast<double>().colwise().mean();
    const detail::FeatureRows real_set(real, origin);
    const detail::FeatureRows generated_set(generated, origin);
    return {detail::covered(generated_set, real_set, options), detail::covered(real_set, generated_set, options)};
}

}  // namespace flowfar::metrics
