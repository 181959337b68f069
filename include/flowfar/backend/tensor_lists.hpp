#pragma once

#include <span>

#include "flowfar/core/layout.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar {

/// Default definitions of a plain backend's operations on many tensors at once, such as all parameters of a model: one
/// after the other. A backend whose operations are expensive to start overrides them. What is changed in place must be
/// contiguous.
template <class B, class H>
struct TensorLists {
    /// `adam_step` of each target.
    static void adam_steps(std::span<const AdamTarget<H>> targets) {
        for (const AdamTarget<H>& t : targets) {
            B::adam_step(t.parameter, t.gradient, t.first, t.second, t.options);
        }
    }
    /// `lerp` of each target towards its source.
    static void lerp_each(std::span<const H> targets, std::span<const H> sources, double weight) {
        for (std::size_t i = 0; i < targets.size(); ++i) {
            B::lerp(targets[i], sources[i], weight);
        }
    }
    /// Σ x² of each tensor: f64 [tensors].
    [[nodiscard]] static H square_sums(std::span<const H> tensors) {
        PoolVector<H> sums;
        for (const H& x : tensors) {
            const H sum = B::reduce(ReduceOp::sum_squares, x, Axes::all(B::extents(x).rank()), ReducedAxes::drop);
            sums.push_back(B::reshape(B::cast(sum, DType::f64), {1}));
        }
        return sums.empty() ? B::empty({0}, DType::f64) : B::concat(std::span<const H>(sums), 0);
    }
    /// Multiplies the elements of target i by factors[i]; factors is f64 [targets].
    static void multiply_each(std::span<const H> targets, const H& factors) {
        for (std::size_t i = 0; i < targets.size(); ++i) {
            const auto at = static_cast<Index>(i);
            const H factor = B::cast(B::slice(factors, 0, at, at + 1), B::dtype(targets[i]));
            B::assign(targets[i], B::binary(BinaryOp::mul, targets[i], B::reshape(factor, {})));
        }
    }
};

}  // namespace flowfar
