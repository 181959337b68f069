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

/// L2 norms over all parameters that have a gradient.
struct GradientNorms {
    double gradient = 0.0;
    double parameter = 0.0;  ///< of the same parameters' values
};

template <class A>
[[nodiscard]] GradientNorms gradient_norms(const std::vector<ParameterRef<A>>& parameters) {
    using B = Plain<A>;
    GradientNorms squares;
    for (const ParameterRef<A>& p : parameters) {
        if (const auto g = p.gradient(); g.defined()) {
            squares.gradient += std::pow(l2_norm<B>(g), 2);
            squares.parameter += std::pow(l2_norm<B>(p.value()), 2);
        }
    }
    return {std::sqrt(squares.gradient), std::sqrt(squares.parameter)};
}

/// The factor that limits a gradient of this norm to `maximum` (Pascanu et al. 2013); pass it to Adam::step.
[[nodiscard]] inline double clip_scale(double norm, double maximum) {
    require(maximum > 0.0, "clip_scale: expected a positive maximum, found ", maximum);
    return std::min(1.0, maximum / (norm + 1e-6));
}

}  // namespace flowfar
