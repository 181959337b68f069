#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "flowfar/autoregressive/causal_model.hpp"
#include "flowfar/raster/config.hpp"
#include "flowfar/raster/sample.hpp"

namespace flowfar {

/// Raster autoregression over continuous tokens with a diffusion head: what FAR and MAR are compared with (arXiv
/// 2503.05305, figure 2; 2406.11838, table 1). A causal transformer reads the class and the tokens before, one after
/// another. Configuration C (raster/config.hpp), backend B, element type T; latents are [batch, channels, height,
/// width] of unit variance.
///
///     const auto model = flowfar::load<flowfar::Raster<flowfar::RasterB, flowfar::Cpu>>("raster.safetensors");
///     const auto latents = model.generate({207, 360}, {.guidance = 3.0, .seed = 7});
template <class C, class B, class T>
class Raster : public CausalModel<CheckedRasterConfig<C>, B, T> {
   public:
    using Base = CausalModel<CheckedRasterConfig<C>, B, T>;
    using typename Base::Conditions;
    using typename Base::Inputs;
    using typename Base::Latents;
    using typename Base::Run;
    using typename Base::Tokens;
    static constexpr std::string_view stream = "raster";  ///< of the samples' random numbers
    using Step = TokenStep<Raster>;
    /// Called after each token; returning false stops with the current estimate.
    using Callback = TokenCallback<Raster>;

    using Base::conditions;
    /// z of every token of tokens [batch, tokens, token_dim], each from those before it. One label per sample.
    [[nodiscard]] Conditions conditions(const Tokens& x, std::span<const Index> labels, const Run& run = {}) const {
        return conditions(Inputs(slice<1>(x, 0, Base::tokens - 1)), labels, {MaskKind::causal, {}}, run);
    }

    /// One latent [channels, height, width] per label (0 … classes − 1, or `no_class`), of unit variance. Keep a
    /// `RasterSampler` to generate several batches.
    [[nodiscard]] Latents generate(const std::vector<Index>& labels, const TokenSampleOptions& options = {},
                                   const Callback& callback = {}) const {
        return RasterSampler<Raster>(*this, options)(labels, callback);
    }

    /// A model with fresh random parameters.
    [[nodiscard]] static Raster random(std::uint64_t seed) {
        Raster model;
        model.initialize(seed);
        return model;
    }
};

}  // namespace flowfar
