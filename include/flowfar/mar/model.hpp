#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "flowfar/autoregressive/masked_class_model.hpp"
#include "flowfar/mar/config.hpp"
#include "flowfar/mar/sample.hpp"

namespace flowfar {

/// MAR (arXiv 2406.11838), which draws sets of continuous tokens at random places: its encoder sees the tokens drawn so
/// far, its decoder all places, and the diffusion head draws the next set. Configuration C (mar/config.hpp), backend B,
/// element type T; latents and parameters as FAR's.
///
///     using Model = flowfar::Mar<flowfar::MarB, flowfar::Cpu>;
///     const auto model = flowfar::load<Model>("checkpoint-last.pth");   // flowfar/io.hpp
///     const auto latents = model.generate({207, 360}, {.iterations = 64, .seed = 7});
template <class C, class B, class T>
class Mar : public MaskedClassModel<C, B, T> {
   public:
    using typename MaskedClassModel<C, B, T>::Latents;
    static constexpr bool masked = true;
    static constexpr std::string_view stream = "mar";  ///< of the samples' random numbers
    using Step = TokenStep<Mar>;
    /// Called after each set of tokens; returning false stops with the current estimate.
    using Callback = TokenCallback<Mar>;

    /// One latent [channels, height, width] per label (0 … classes − 1, or `no_class`), of unit variance. Keep a
    /// `MarSampler` to generate several batches.
    [[nodiscard]] Latents generate(const std::vector<Index>& labels, const TokenSampleOptions& options = {},
                                   const Callback& callback = {}) const {
        return MarSampler<Mar>(*this, options)(labels, callback);
    }

    /// A model with fresh random parameters.
    [[nodiscard]] static Mar random(std::uint64_t seed) {
        Mar model;
        model.initialize(seed);
        return model;
    }
};

}  // namespace flowfar
