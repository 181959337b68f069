#pragma once

/// Mean and covariance of feature rows in one pass: streamed in any number of pieces, merged across processes.

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"

namespace flowfar::metrics {

/// The Gaussian that a set of features is summarised by: what a Fréchet distance compares and what files hold.
struct FeatureStatistics {
    Index count = 0;                 ///< rows seen; 0 if a file did not say
    std::vector<double> mean;        ///< [width]
    std::vector<double> covariance;  ///< [width, width], divided by count - 1

    [[nodiscard]] Index width() const { return static_cast<Index>(mean.size()); }
};

namespace detail {

/// Throws `Error` unless `rows` holds whole rows of `width` finite values; returns their number.
inline Index check_rows(const char* metric, std::span<const float> rows, Index width) {
    require(width >= 1, metric, ": expected a feature width of at least 1, found ", width);
    const Index values = static_cast<Index>(rows.size());
    require(values % width == 0, metric, ": ", values, " values are no whole rows of ", width, " features");
    for (Index i = 0; i < values; ++i) {
        const float value = rows[static_cast<std::size_t>(i)];
        require(std::isfinite(value), metric, ": feature ", i % width, " of row ", i / width,
                " is not finite: ", value);
    }
    return values / width;
}

}  // namespace detail

/// Collects rows of `width` features. Blocks are centred on their own mean before their products are summed, and joined
/// by the update of Chan, Golub & LeVeque (1983), so that a large common offset costs no digits. Sums are in double.
class FeatureMoments {
   public:
    explicit FeatureMoments(Index width) : width_(width) {
        require(width >= 1, "FeatureMoments: expected a feature width of at least 1, found ", width);
        mean_ = Eigen::VectorXd::Zero(width);
        scatter_ = Eigen::MatrixXd::Zero(width, width);
    }

    /// Adds rows [n, width], n >= 0. Throws `Error` for a part of a row and for values that are not finite; nothing is
    /// added then.
    void add(std::span<const float> rows) {
        const Index count = detail::check_rows("FeatureMoments", rows, width_);
        for (Index first = 0; first < count; first += block_rows) {
            add_block(rows.data() + first * width_, std::min(block_rows, count - first));
        }
    }

    /// Adds everything that `other` collected. Throws `Error` for another width.
    void merge(const FeatureMoments& other) {
        require(other.width_ == width_, "FeatureMoments: cannot merge features of width ", other.width_, " into ",
                width_);
        if (other.count_ > 0) {
            const Eigen::MatrixXd scatter = other.scatter_;  // `other` may be this object
            join(other.count_, Eigen::VectorXd(other.mean_), scatter);
        }
    }

    [[nodiscard]] Index width() const { return width_; }
    [[nodiscard]] Index count() const { return count_; }

    /// Throws `Error` with fewer than two rows, which have no covariance.
    [[nodiscard]] FeatureStatistics statistics() const {
        require(count_ >= 2, "FeatureMoments: a covariance needs at least 2 rows, found ", count_);
        const auto width = static_cast<std::size_t>(width_);
        FeatureStatistics out{count_, std::vector<double>(mean_.begin(), mean_.end()),
                              std::vector<double>(width * width)};
        Eigen::Map<Eigen::MatrixXd> covariance(out.covariance.data(), width_, width_);
        covariance = Eigen::MatrixXd(scatter_.selfadjointView<Eigen::Lower>()) / static_cast<double>(count_ - 1);
        return out;
    }

   private:
    static constexpr Index block_rows = 256;
    using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

    void add_block(const float* rows, Index count) {
        Eigen::MatrixXd block = Eigen::Map<const Rows>(rows, count, width_).cast<double>();
        const Eigen::VectorXd mean = block.colwise().mean().transpose();
        block.rowwise() -= mean.transpose();
        Eigen::MatrixXd scatter = Eigen::MatrixXd::Zero(width_, width_);
        scatter.selfadjointView<Eigen::Lower>().rankUpdate(block.transpose());
        join(count, mean, scatter);
    }

    /// S = S1 + S2 + (m2 - m1)(m2 - m1)^T n1 n2 / (n1 + n2); only the lower triangle is kept.
    void join(Index count, const Eigen::VectorXd& mean, const Eigen::MatrixXd& scatter) {
        const auto mine = static_cast<double>(count_);
        const auto theirs = static_cast<double>(count);
        const Eigen::VectorXd shift = mean - mean_;
        scatter_ += scatter;
        scatter_.selfadjointView<Eigen::Lower>().rankUpdate(shift, mine * theirs / (mine + theirs));
        mean_ += shift * (theirs / (mine + theirs));
        count_ += count;
    }

    Index width_;
    Index count_ = 0;
    Eigen::VectorXd mean_;
    Eigen::MatrixXd scatter_;  ///< lower triangle of the sum of centred products
};

}  // namespace flowfar::metrics
