#pragma once

#include "flowfar/core/ops.hpp"
#include "flowfar/nn/init.hpp"

namespace flowfar {

/// y = act(x Wᵀ + b): x […, In] → […, Out]. The weight is stored [Out, In], as in PyTorch.
///
///     Linear<B, 64, 128> layer;
///     layer.initialize(seed);
///     const auto y = layer(x);   // […, 64] → […, 128]
template <class B, Index In, Index Out, class T = float>
struct Linear {
    using Backend = B;
    static constexpr Index in = In;
    static constexpr Index out = Out;

    Tensor<B, Shape<Out, In>, T> weight = make_parameter<Tensor<B, Shape<Out, In>, T>>();
    Tensor<B, Shape<Out>, T> bias = make_parameter<Tensor<B, Shape<Out>, T>>();

    template <AnyLinearInput X>
    [[nodiscard]] auto operator()(const X& x, Activation activation = Activation::none) const {
        return linear(x, weight, bias, activation);
    }
    /// Its result as the input of another linear layer only.
    template <AnyLinearInput X>
    [[nodiscard]] auto packed(const X& x, Activation activation = Activation::none) const {
        return linear_packed(x, weight, bias, activation);
    }
    /// residual + gate ∘ (x Wᵀ + b); the gate may be absent (1), [Out] or [batch, Out].
    template <AnyTensor R, AnyTensor G, AnyLinearInput X>
    [[nodiscard]] auto add(const R& residual, const G& gate, const X& x) const {
        return linear_add(residual, gate, x, weight, bias);
    }

    /// PyTorch's default: weight and bias U(±1/√In).
    void initialize(std::uint64_t seed) {
        const double bound = 1.0 / std::sqrt(static_cast<double>(In));
        init::uniform(weight, bound, fold(seed, "weight"));
        init::uniform(bias, bound, fold(seed, "bias"));
    }

    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("weight", self.weight);
        v("bias", self.bias);
    }
};

/// A linear layer y = act(x Wᵀ).
template <class Layer>
[[nodiscard]] Layer without_bias() {
    Layer out;
    out.bias = {};
    return out;
}

}  // namespace flowfar
