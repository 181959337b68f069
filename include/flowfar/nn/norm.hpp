#pragma once

#include "flowfar/core/ops.hpp"
#include "flowfar/nn/init.hpp"

namespace flowfar {

/// Layer norm with gain and bias over the last axis [Width] (Ba et al. 2016).
///
///     LayerNorm<B, 64> norm{.epsilon = 1e-5};   // ε as PyTorch's default
template <class B, Index Width, class T = float>
struct LayerNorm {
    using Backend = B;
    double epsilon = 1e-6;
    Tensor<B, Shape<Width>, T> weight = make_parameter<Tensor<B, Shape<Width>, T>>();
    Tensor<B, Shape<Width>, T> bias = make_parameter<Tensor<B, Shape<Width>, T>>();

    template <AnyTensor X>
    [[nodiscard]] X operator()(const X& x) const {
        return layer_norm(x, weight, bias, {.epsilon = epsilon});
    }
    /// Its result as the input of a linear layer only.
    template <AnyTensor X>
    [[nodiscard]] auto packed(const X& x) const {
        return layer_norm_packed(x, weight, bias, {.epsilon = epsilon});
    }
    void initialize(std::uint64_t /*seed*/) {
        init::constant(weight, 1.0);
        init::constant(bias, 0.0);
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("weight", self.weight);
        v("bias", self.bias);
    }
};

/// RMS norm with a gain over the last axis [Width] (Zhang & Sennrich 2019), ε = 1e-6.
///
///     RmsNorm<B, 64> norm;
template <class B, Index Width, class T = float>
struct RmsNorm {
    using Backend = B;
    Tensor<B, Shape<Width>, T> scale = make_parameter<Tensor<B, Shape<Width>, T>>();

    template <AnyTensor X>
    [[nodiscard]] X operator()(const X& x) const {
        return rms_norm(x, scale);
    }
    void initialize(std::uint64_t /*seed*/) { init::constant(scale, 1.0); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("scale", self.scale);
    }
};

}  // namespace flowfar
