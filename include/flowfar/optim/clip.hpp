#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "flowfar/core/pool.hpp"
#include "flowfar/nn/parameter.hpp"

namespace flowfar {

/// L2 norm of a tensor, summed in double.
template <class B>
[[nodiscard]] double l2_norm(const typename B::Handle& h) {
    const auto wide = B::cast(B::reduce(ReduceOp::sum_squares, h, Axes::all(B::extents(h).rank()), false), DType::f64);
    double square = 0.0;
    B::to_host(wide, &square);
    return std::sqrt(square);
}

namespace detail {

/// Σ x² of each tensor; a device is waited for once.
template <class B>
[[nodiscard]] PoolVector<double> square_sums(const PoolVector<typename B::Handle>& tensors) {
    PoolVector<typename B::Handle> squares;
    for (const auto& h : tensors) {
        const auto sum = B::reduce(ReduceOp::sum_squares, h, Axes::all(B::extents(h).rank()), false);
        squares.push_back(B::reshape(B::cast(sum, DType::f64), {1}));
    }
    PoolVector<double> out(squares.size());
    if (!squares.empty()) {
        B::to_host(B::concat(squares, 0), out.data());
    }
    return out;
}

/// L2 norm over all elements of several tensors.
template <class B>
[[nodiscard]] double joint_norm(const PoolVector<typename B::Handle>& tensors) {
    double total = 0.0;
    for (const double sum : square_sums<B>(tensors)) {
        total += sum;
    }
    return std::sqrt(total);
}

}  // namespace detail

/// L2 norm over all gradients that the parameters have collected.
template <class A>
[[nodiscard]] double gradient_norm(const std::vector<ParameterRef<A>>& parameters) {
    PoolVector<typename Plain<A>::Handle> gradients;
    for (const ParameterRef<A>& p : parameters) {
        if (const auto g = p.gradient(); g.defined()) {
            gradients.push_back(g);
        }
    }
    return detail::joint_norm<Plain<A>>(gradients);
}

/// L2 norm over the values of all parameters that have a gradient.
template <class A>
[[nodiscard]] double trained_norm(const std::vector<ParameterRef<A>>& parameters) {
    PoolVector<typename Plain<A>::Handle> values;
    for (const ParameterRef<A>& p : parameters) {
        if (p.gradient().defined()) {
            values.push_back(p.value());
        }
    }
    return detail::joint_norm<Plain<A>>(values);
}

/// Drops all gradients that the parameters have collected.
template <class A>
void clear_gradients(const std::vector<ParameterRef<A>>& parameters) {
    for (const ParameterRef<A>& p : parameters) {
        p.clear_gradient();
    }
}

/// The factor that limits a gradient of this norm to `maximum` (Pascanu et al. 2013); pass it to Adam::step.
[[nodiscard]] inline double clip_scale(double norm, double maximum) {
    require(maximum > 0.0, "clip_scale: expected a positive maximum, found ", maximum);
    return std::min(1.0, maximum / (norm + 1e-6));
}

}  // namespace flowfar
