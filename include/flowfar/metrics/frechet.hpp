#pragma once

/// The Fréchet distance between two sets of features, each taken for a Gaussian (Heusel et al. 2017).

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
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

namespace detail {

using ConstMatrix = Eigen::Map<const Eigen::MatrixXd>;

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

/// Trace of the root of a symmetric matrix whose eigenvalues are not negative but for rounding.
inline double root_trace(const Eigen::MatrixXd& matrix) {
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(matrix, Eigen::EigenvaluesOnly);
    require(solver.info() == Eigen::Success, "frechet_distance: the eigenvalues did not converge");
    return solver.eigenvalues().cwiseMax(0.0).cwiseSqrt().sum();
}

inline double symmetric_root_trace(const ConstMatrix& a, const ConstMatrix& b) {
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(a);
    require(solver.info() == Eigen::Success, "frechet_distance: the eigenvalues did not converge");
    const Eigen::VectorXd roots = solver.eigenvalues().cwiseMax(0.0).cwiseSqrt();
    // In the basis of a's eigenvectors, a^1/2 b a^1/2 is R V^T b V R: no second pair of products is needed.
    const Eigen::MatrixXd turned = solver.eigenvectors().transpose() * b * solver.eigenvectors();
    return root_trace(roots.asDiagonal() * turned * roots.asDiagonal());
}

/// Trace of the principal root of a b; not finite if the eigenvalues do not converge.
inline std::complex<double> product_root_trace(const Eigen::MatrixXd& a, const Eigen::MatrixXd& b) {
    const Eigen::EigenSolver<Eigen::MatrixXd> solver(a * b, /* computeEigenvectors = */ false);
    if (solver.info() != Eigen::Success) {
        return std::nan("");
    }
    std::complex<double> sum = 0;
    for (const std::complex<double>& value : solver.eigenvalues()) {
        sum += std::sqrt(value);
    }
    return sum;
}

/// The same for definite matrices, much faster: a b has the eigenvalues of the symmetric L^T b L, where a = L L^T.
/// Nothing if a is not definite, or if the eigenvalues' rounding errors, once under a root, could move the distance by
/// more than 1e-9 of the covariances' traces.
inline std::optional<double> definite_root_trace(const ConstMatrix& a, const ConstMatrix& b) {
    const Eigen::LLT<Eigen::MatrixXd> factor(a);
    if (factor.info() != Eigen::Success) {
        return {};
    }
    const Eigen::MatrixXd right = b * factor.matrixL();
    const Eigen::MatrixXd turned = factor.matrixU() * right;
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(turned, Eigen::EigenvaluesOnly);
    const double rounding = 4 * std::numeric_limits<double>::epsilon() * a.norm() * b.norm();
    if (solver.info() != Eigen::Success || !(solver.eigenvalues().minCoeff() > 4 * rounding)) {
        return {};
    }
    const Eigen::ArrayXd roots = solver.eigenvalues().array().sqrt();
    const double error = (rounding / (2 * roots)).sum();
    return 2 * error <= 1e-9 * (a.trace() + b.trace()) ? std::optional(roots.sum()) : std::nullopt;
}

inline double sqrtm_trace(const ConstMatrix& a, const ConstMatrix& b) {
    if (const std::optional<double> fast = definite_root_trace(a, b)) {
        return *fast;
    }
    std::complex<double> trace = product_root_trace(a, b);
    if (!std::isfinite(trace.real()) || !std::isfinite(trace.imag())) {
        const Eigen::MatrixXd offset = 1e-6 * Eigen::MatrixXd::Identity(a.rows(), a.cols());
        trace = product_root_trace(a + offset, b + offset);
    }
    require(std::isfinite(trace.real()), "frechet_distance: the root of the covariances is not finite");
    // Rounding makes zero eigenvalues slightly negative; anything more is no covariance.
    require(std::fabs(trace.imag()) <= 1e-3 * std::max(1.0, std::fabs(trace.real())),
            "frechet_distance: the root of the covariances is complex; its trace has an imaginary part of ",
            trace.imag());
    return trace.real();
}

}  // namespace detail

/// |m1 - m2|^2 + tr C1 + tr C2 - 2 tr (C1 C2)^1/2 in double. Throws `Error` for different widths, values that are not
/// finite, fewer than two samples, and matrices that are no covariances.
[[nodiscard]] inline FrechetDistance frechet_distance(const FeatureStatistics& a, const FeatureStatistics& b,
                                                      TraceForm form = TraceForm::eigenvalues) {
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
