#pragma once

/// What moments.hpp declares. Eigen takes long to compile: programs may do it in one unit (see config.hpp).

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/metrics/moments.hpp"

namespace flowfar::metrics {

namespace detail {

FLOWFAR_INLINE Index check_rows(const char* metric, std::span<const float> rows, Index width) {
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

inline constexpr Index moments_block_rows = 256;

}  // namespace detail

FLOWFAR_INLINE FeatureMoments::FeatureMoments(Index width) : width_(width) {
    require(width >= 1, "FeatureMoments: expected a feature width of at least 1, found ", width);
    const auto size = static_cast<std::size_t>(width);
    mean_.resize(size);
    scatter_.resize(size * size);
}

FLOWFAR_INLINE void FeatureMoments::add(std::span<const float> rows) {
    const Index count = detail::check_rows("FeatureMoments", rows, width_);
    for (Index first = 0; first < count; first += detail::moments_block_rows) {
        add_block(rows.data() + first * width_, std::min(detail::moments_block_rows, count - first));
    }
}

FLOWFAR_INLINE void FeatureMoments::merge(const FeatureMoments& other) {
    require(other.width_ == width_, "FeatureMoments: cannot merge features of width ", other.width_, " into ", width_);
    if (other.count_ > 0) {
        const std::vector<double> mean = other.mean_;  // `other` may be this object
        const std::vector<double> scatter = other.scatter_;
        join(other.count_, mean, scatter);
    }
}

FLOWFAR_INLINE FeatureStatistics FeatureMoments::statistics() const {
    require(count_ >= 2, "FeatureMoments: a covariance needs at least 2 rows, found ", count_);
    FeatureStatistics out{count_, mean_, std::vector<double>(scatter_.size())};
    const Eigen::Map<const Eigen::MatrixXd> scatter(scatter_.data(), width_, width_);
    Eigen::Map<Eigen::MatrixXd> covariance(out.covariance.data(), width_, width_);
    covariance = Eigen::MatrixXd(scatter.selfadjointView<Eigen::Lower>()) / static_cast<double>(count_ - 1);
    return out;
}

FLOWFAR_INLINE void FeatureMoments::add_block(const float* rows, Index count) {
    using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    Eigen::MatrixXd block = Eigen::Map<const Rows>(rows, count, width_).cast<double>();
    std::vector<double> means(mean_.size());
    std::vector<double> products(scatter_.size());
    Eigen::Map<Eigen::RowVectorXd> mean(means.data(), width_);
    mean = block.colwise().mean();
    block.rowwise() -= mean;
    Eigen::Map<Eigen::MatrixXd> scatter(products.data(), width_, width_);
    scatter.selfadjointView<Eigen::Lower>().rankUpdate(block.transpose());
    join(count, means, products);
}

/// S = S1 + S2 + (m2 - m1)(m2 - m1)^T n1 n2 / (n1 + n2); only the lower triangle is kept.
FLOWFAR_INLINE void FeatureMoments::join(Index count, const std::vector<double>& mean,
                                         const std::vector<double>& scatter) {
    const auto mine = static_cast<double>(count_);
    const auto theirs = static_cast<double>(count);
    Eigen::Map<Eigen::VectorXd> my_mean(mean_.data(), width_);
    Eigen::Map<Eigen::MatrixXd> my_scatter(scatter_.data(), width_, width_);
    const Eigen::VectorXd shift = Eigen::Map<const Eigen::VectorXd>(mean.data(), width_) - my_mean;
    my_scatter += Eigen::Map<const Eigen::MatrixXd>(scatter.data(), width_, width_);
    my_scatter.selfadjointView<Eigen::Lower>().rankUpdate(shift, mine * theirs / (mine + theirs));
    my_mean += shift * (theirs / (mine + theirs));
    count_ += count;
}

}  // namespace flowfar::metrics
