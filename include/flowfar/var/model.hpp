#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "flowfar/autoregressive/causal_model.hpp"
#include "flowfar/var/config.hpp"
#include "flowfar/var/pyramid.hpp"
#include "flowfar/var/sample.hpp"

namespace flowfar {

/// Next-scale prediction over continuous tokens with a diffusion head: what FAR is compared with (arXiv 2503.05305,
/// table 4), with VAR's residual pyramid (2404.02905) or without. Attention is block-causal: a scale sees the class,
/// all of itself and the scales before it. Configuration C (var/config.hpp), backend B, element type T; latents are
/// [batch, channels, side, side] of unit variance.
///
///     const auto model = flowfar::load<flowfar::Var<flowfar::VarB, flowfar::Cpu>>("var.safetensors");
///     const auto latents = model.generate({207, 360}, {.guidance = 3.0, .seed = 7});
template <class C, class B, class T>
class Var : public CausalModel<CheckedVarConfig<C>, B, T> {
   public:
    using Base = CausalModel<CheckedVarConfig<C>, B, T>;
    using typename Base::Conditions;
    using typename Base::Config;
    using typename Base::Inputs;
    using typename Base::Latents;
    using typename Base::Run;
    using Tokens = Inputs;  ///< of one scale or of all, [batch, tokens, channels]
    using Pyramid = VarPyramid<Base, C::residual>;
    static constexpr Index tokens = Config::length;
    static constexpr std::string_view stream = "var";  ///< of the samples' random numbers
    using Step = TokenStep<Var>;
    /// Called after each scale; returning false stops with the current estimate.
    using Callback = TokenCallback<Var>;

    /// z of every token of all scales from their inputs (`Pyramid::of`). One label per sample.
    [[nodiscard]] Conditions conditions(const Inputs& x, std::span<const Index> labels, const Run& run = {}) const {
        return Base::conditions(x, labels, {MaskKind::full, Config::block_ends}, run);
    }

    /// One latent [channels, side, side] per label (0 … classes − 1, or `no_class`), of unit variance. Keep a
    /// `VarSampler` to generate several batches.
    [[nodiscard]] Latents generate(const std::vector<Index>& labels, const TokenSampleOptions& options = {},
                                   const Callback& callback = {}) const {
        return VarSampler<Var>(*this, options)(labels, callback);
    }

    /// A model with fresh random parameters.
    [[nodiscard]] static Var random(std::uint64_t seed) {
        Var model;
        model.initialize(seed);
        return model;
    }
};

}  // namespace flowfar
