#pragma once

/// Gradients of Autodiff<Reference> in double against central differences.

#include <functional>
#include <random>

#include "flowfar/autodiff/backward.hpp"
#include "flowfar/backend/reference.hpp"

#include "approx.hpp"

namespace flowfar::testing {

using Tape = Autodiff<Reference>;
using Tracked64 = Tracked<Reference>;
using Function = std::function<Tracked64(const std::vector<Tracked64>&)>;

/// Numbers in [low, high) that depend on the seed.
[[nodiscard]] inline Handle random_handle(const Extents& extents, std::uint32_t seed, double low = -1.0,
                                          double high = 1.0) {
    std::mt19937 engine(seed);
    std::vector<double> values(static_cast<std::size_t>(extents.count()));
    for (double& value : values) {
        value = low + (high - low) * (static_cast<double>(engine()) * 0x1p-32);
    }
    return Reference::from_host(values.data(), extents, DType::f64);
}

[[nodiscard]] inline std::vector<double> doubles(const Handle& h) {
    std::vector<double> out(static_cast<std::size_t>(h.count()));
    Reference::to_host(Reference::cast(h, DType::f64), out.data());
    return out;
}

/// The gradient that a leaf has collected; zeros if none came.
[[nodiscard]] inline std::vector<double> gradient_of(const Tracked64& leaf) {
    return leaf.node->gradient.defined() ? doubles(leaf.node->gradient)
                                         : std::vector<double>(static_cast<std::size_t>(leaf.value.count()));
}

/// Σ weights ∘ y, with weights that depend on the seed: a scalar whose gradient tests every element of y's.
[[nodiscard]] inline Tracked64 weighted_sum(const Tracked64& y, std::uint32_t seed) {
    const Tracked64 weights = Tape::constant(random_handle(y.value.extents(), seed, 0.5, 1.5));
    return Tape::reduce(ReduceOp::sum, Tape::binary(BinaryOp::mul, y, weights), Axes::all(y.value.rank()),
                        ReducedAxes::drop);
}

inline void backpropagate(const Tracked64& loss) {
    const Root<Reference> root{loss.node, Reference::full({}, DType::f64, 1.0)};
    propagate<Reference>(std::span<const Root<Reference>>(&root, 1));
}

/// Checks df/dx for every element of every input; also that each alone gives the same gradient while the others are
/// constants, which is when rules save less.
inline void check_gradient(const std::string& name, const Function& f, const std::vector<Handle>& inputs,
                           std::uint32_t seed = 17) {
    const std::string what = text(name, ", seed ", seed);
    INFO(what);
    const auto value = [&](const std::vector<Handle>& at) {
        std::vector<Tracked64> constants;
        for (const Handle& h : at) {
            constants.push_back(Tape::constant(h));
        }
        const Tracked64 loss = weighted_sum(f(constants), seed);
        CHECK(loss.node == nullptr);  // nothing is recorded for constants
        return doubles(loss.value)[0];
    };
    std::vector<Tracked64> leaves;
    for (const Handle& h : inputs) {
        leaves.push_back(Tape::leaf(h));
    }
    backpropagate(weighted_sum(f(leaves), seed));

    for (std::size_t n = 0; n < inputs.size(); ++n) {
        std::vector<double> expected;
        const std::vector<double> x = doubles(inputs[n]);
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double step = 1e-5;
            double ends[2];
            for (const int side : {0, 1}) {
                std::vector<double> moved = x;
                moved[i] += side == 0 ? -step : step;
                std::vector<Handle> at = inputs;
                at[n] = Reference::from_host(moved.data(), inputs[n].extents(), DType::f64);
                ends[side] = value(at);
            }
            expected.push_back((ends[1] - ends[0]) / (2.0 * step));
        }
        INFO("operand ", n);
        if (leaves[n].node->gradient.defined()) {
            CHECK(leaves[n].node->gradient.extents() == inputs[n].extents());
        }
        CHECK(difference_of(gradient_of(leaves[n]), expected, approx::difference) == "");

        std::vector<Tracked64> one;
        for (std::size_t i = 0; i < inputs.size(); ++i) {
            one.push_back(i == n ? Tape::leaf(inputs[i]) : Tape::constant(inputs[i]));
        }
        const Tracked64 loss = weighted_sum(f(one), seed);
        if (loss.node != nullptr) {
            backpropagate(loss);
        }
        CHECK(difference_of(gradient_of(one[n]), gradient_of(leaves[n]), 1e-12) == "");
    }
}

}  // namespace flowfar::testing
