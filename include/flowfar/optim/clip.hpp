#pragma once

#include <cmath>
#include <numeric>
#include <span>
#include <vector>

#include "flowfar/core/memory_pool.hpp"
#include "flowfar/nn/parameter.hpp"

namespace flowfar {

namespace detail {

/// L2 norm over all elements of several tensors.
template <class B>
[[nodiscard]] double joint_norm(std::span<const typename B::Handle> tensors) {
    PoolVector<double> squares(tensors.size());
    if (!tensors.empty()) {
        B::to_host(B::square_sums(tensors), squares.data());
    }
    return std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
}

/// The gradients that have arrived.
template <class A>
[[nodiscard]] PoolVector<typename Plain<A>::Handle> gradients(const std::vector<ParameterRef<A>>& parameters) {
    PoolVector<typename Plain<A>::Handle> out;
    for (const ParameterRef<A>& p : parameters) {
        if (const auto g = p.gradient(); g.defined()) {
            out.push_back(g);
        }
    }
    return out;
}

}  // namespace detail

/// L2 norm of a tensor.
template <class B>
[[nodiscard]] double l2_norm(const typename B::Handle& h) {
    return detail::joint_norm<B>(std::span<const typename B::Handle>(&h, 1));
}

/// L2 norm over all gradients that the parameters have collected.
template <class A>
[[nodiscard]] double gradient_norm(const std::vector<ParameterRef<A>>& parameters) {
    return detail::joint_norm<Plain<A>>(detail::gradients<A>(parameters));
}

/// Drops all gradients that the parameters have collected.
template <class A>
void clear_gradients(const std::vector<ParameterRef<A>>& parameters) {
    for (const ParameterRef<A>& p : parameters) {
        p.clear_gradient();
    }
}

/// The factor that limits a gradient of this norm to `maximum`; pass it to Adam::step.
[[nodiscard]] inline double clip_scale(double norm, double maximum) {
    require(maximum > 0.0, "clip_scale: expected a positive maximum, found ", maximum);
    return clip_factor(norm, maximum);
}

}  // namespace flowfar
