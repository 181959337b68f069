#pragma once

#include "flowfar/quantize/quantizer.hpp"

namespace flowfar {

/// A continuous code with a Gaussian posterior, as a variational autoencoder has it (Kingma & Welling 2014): the
/// encoder gives means and log-variances, [batch, tokens, 2F], training sees a sample, inference the mean.
///
/// FlowMo's released code samples in evaluation, too (`quantize(x, seed)` does), and weighs the divergence by 1
/// (`QuantizerWeights::kl`).
struct Kl {
    static constexpr bool discrete = false;

    [[nodiscard]] static std::string name() { return "kl"; }
    [[nodiscard]] static constexpr bool fits(Index values) { return values >= 1; }
    [[nodiscard]] static constexpr Index width(Index values) { return 2 * values; }

    template <AnyTensor X>
    using Code =
        WithShape<X, Shape<X::Shape::at(0), X::Shape::at(1), X::Shape::at(2) == dyn ? dyn : X::Shape::at(2) / 2>>;

    /// The first half of the values.
    template <AnyTensor X>
    [[nodiscard]] static Code<X> mean_of(const X& x) {
        check(x);
        return Code<X>(slice<2>(x, 0, x.extent(2) / 2));
    }
    /// The other half, limited to [−30, 20].
    template <AnyTensor X>
    [[nodiscard]] static Code<X> log_variance_of(const X& x) {
        check(x);
        return clamp(Code<X>(slice<2>(x, x.extent(2) / 2, x.extent(2))), -30.0, 20.0);
    }

    /// The mean.
    template <AnyTensor X>
    [[nodiscard]] static Code<X> quantize(const X& x) {
        return mean_of(x);
    }
    /// A sample; the noise is the N(0, 1) stream of `seed` in the order (batch, value, token).
    template <AnyTensor X>
    [[nodiscard]] static Code<X> quantize(const X& x, std::uint64_t seed) {
        using Noise = WithShape<X, Shape<dyn, dyn, dyn>>;
        return sample(x, Noise::normal({x.extent(0), x.extent(2) / 2, x.extent(1)}, seed));
    }
    /// A sample with noise [batch, F, tokens].
    template <AnyTensor X, AnyTensor N>
    [[nodiscard]] static Code<X> sample(const X& x, const N& noise) {
        return mean_of(x) + exp(log_variance_of(x) * 0.5) * Code<X>(permute<0, 2, 1>(noise));
    }

    /// The divergence ½ Σ (mean² + e^v − 1 − v) from N(0, 1), summed over a code, mean over the batch.
    template <AnyTensor X>
    [[nodiscard]] static auto loss(const X& x, const QuantizerWeights& weights = {}) {
        QuantizerLoss<WithShape<X, Shape<>>> out;
        const auto v = log_variance_of(x);
        out.divergence = sum(square(mean_of(x)) + exp(v) - 1.0 - v) * (0.5 / static_cast<double>(x.extent(0)));
        out.total = out.divergence * weights.kl;
        return out;
    }

   private:
    template <AnyTensor X>
    static void check(const X& x) {
        static_assert(X::Shape::rank == 3, "Kl: the encoder's output is [batch, tokens, 2 values]");
        require(x.extent(2) % 2 == 0, "Kl: expected means and log-variances, found ", x.extent(2), " values per token");
    }
};

/// No quantizer: the encoder's output is the code, as it is.
struct Unquantized {
    static constexpr bool discrete = false;

    [[nodiscard]] static std::string name() { return "none"; }
    [[nodiscard]] static constexpr bool fits(Index values) { return values >= 1; }
    [[nodiscard]] static constexpr Index width(Index values) { return values; }

    template <AnyTensor X>
    [[nodiscard]] static X quantize(const X& code, std::uint64_t /*seed*/ = 0) {
        return code;
    }
    template <AnyTensor X>
    [[nodiscard]] static auto loss(const X& /*code*/, const QuantizerWeights& /*weights*/ = {}) {
        return QuantizerLoss<WithShape<X, Shape<>>>{};
    }
};

}  // namespace flowfar
