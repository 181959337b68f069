#pragma once

#include <array>
#include <cstddef>

#include "flowfar/core/constexpr_math.hpp"
#include "flowfar/core/rearrange.hpp"
#include "flowfar/nn/linear.hpp"

namespace flowfar {

/// Sinusoidal embedding [cos(t·ωᵢ), sin(t·ωᵢ)], ωᵢ = exp(−ln(10000)·i/half), of times t [batch], cosines first
/// (Vaswani et al. 2017). `factor` multiplies t first; products are rounded in T, as the published models do.
/// Width must be even.
template <Index Width, AnyTensor X>
[[nodiscard]] auto sinusoidal_embedding(const X& t, double factor) {
    static_assert(Width >= 2 && Width % 2 == 0, "sinusoidal_embedding: the width must be even");
    static_assert(X::Shape::rank == 1, "sinusoidal_embedding: expects one time per batch element");
    using B = typename X::Backend;
    using T = typename X::Element;
    constexpr Index half = Width / 2;
    std::array<T, static_cast<std::size_t>(half)> frequencies;
    // The published models form the exponent in float; at t·factor = 1000 its rounding moves angles by some 2e-5.
    constexpr auto rate = static_cast<float>(-cx::log(10000.0));
    for (Index i = 0; i < half; ++i) {
        const float exponent = rate * static_cast<float>(i) / static_cast<float>(half);
        frequencies[static_cast<std::size_t>(i)] = T(static_cast<float>(cx::exp(static_cast<double>(exponent))));
    }
    const auto omega = Tensor<B, Shape<1, half>, T>::from_host(frequencies, {1, half});
    const auto angle = reshape<Shape<X::Shape::at(0), 1>>(affine(t, factor, 0.0), {t.extent(0), 1}) * omega;
    return concat<1>(cos(angle), sin(angle));
}

/// Sinusoidal embedding of a scalar, then Linear, SiLU, Linear: times [batch] → [batch, Hidden].
///
///     TimeEmbedding<B, 64> embed;
///     const auto vectors = embed(times, 1000.0);   // [n] → [n, 64]
template <class B, Index Hidden, class T = float, Index Frequencies = 256>
struct TimeEmbedding {
    using Backend = B;
    Linear<B, Frequencies, Hidden, T> in_layer;
    Linear<B, Hidden, Hidden, T> out_layer;

    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& t, double factor) const {
        return out_layer(in_layer(sinusoidal_embedding<Frequencies>(t, factor), Activation::silu));
    }
    void initialize(std::uint64_t seed) {
        in_layer.initialize(fold(seed, "in_layer"));
        out_layer.initialize(fold(seed, "out_layer"));
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("in_layer", self.in_layer);
        v("out_layer", self.out_layer);
    }
};

}  // namespace flowfar
