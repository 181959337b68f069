#pragma once

/// The trace of (C1 C2)^1/2 of two covariance matrices, in the forms that Fréchet distances are published with.

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <optional>

#include "flowfar/core/error.hpp"

namespace flowfar::metrics::detail {

using ConstMatrix = Eigen::Map<const Eigen::MatrixXd>;

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

/// The trace for definite matrices, much faster: a b has the eigenvalues of the symmetric L^T b L, where a = L L^T.
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

}  // namespace flowfar::metrics::detail
