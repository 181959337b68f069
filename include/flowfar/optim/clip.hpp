#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

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

/// L2 norm over all gradients that the parameters have collected.
template <class A>
[[nodiscard]] double gradient_norm(const std::vector<ParameterRef<A>>& parameters) {
    double square = 0.0;
    for (const ParameterRef<A>& p : parameters) {
        if (const auto g = p.gradient(); g.defined()) {
            square += std::pow(l2_norm<Plain<A>>(g), 2);
        }
    }
    return std::sqrt(square);
}

/// L2 norm over the values of all parameters that have a gradient.
template <class A>
[[nodiscard]] double trained_norm(const std::vector<ParameterRef<A>>& parameters) {
    double square = 0.0;
    for (const ParameterRef<A>& p : parameters) {
        if (p.gradient().defined()) {
            square += std::pow(l2_norm<Plain<A>>(p.value()), 2);
        }
    }
    return std::sqrt(square);
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
