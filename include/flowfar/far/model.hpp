#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "flowfar/autoregressive/masked_class_model.hpp"
#include "flowfar/far/config.hpp"
#include "flowfar/far/sample.hpp"

namespace flowfar {

/// FAR (arXiv 2503.05305): sees a latent low-passed to one level and predicts a condition z for every token at once;
/// a diffusion head draws the tokens. Configuration C (far/config.hpp), backend B, element type T. Latents are
/// [batch, channels, height, width] of unit variance. Inference on a const model from several threads is safe on the
/// CPU. Parameters are unset until `initialize` or a loader fills them.
///
///     using Model = flowfar::Far<flowfar::FarB, flowfar::Cpu>;
///     const auto model = flowfar::load<Model>("checkpoint-last.pth");   // flowfar/io.hpp
///     const auto latents = model.generate({207, 360}, {.guidance = 3.0, .seed = 7});
template <class C, class B, class T>
class Far : public MaskedClassModel<C, B, T> {
   public:
    using Config = CheckedFarConfig<C>;
    static constexpr bool masked = C::masked;
    static constexpr std::string_view stream = "far";  ///< of the samples' random numbers
    using typename MaskedClassModel<C, B, T>::Latents;
    using Step = TokenStep<Far>;
    /// Called after each autoregressive step; returning false stops with the current estimate.
    using Callback = TokenCallback<Far>;

    /// One latent [channels, height, width] per label (0 … classes − 1, or `no_class`), of unit variance. Keep a
    /// `FarSampler` to generate several batches.
    [[nodiscard]] Latents generate(const std::vector<Index>& labels, const FarSampleOptions& options = {},
                                   const Callback& callback = {}) const {
        return FarSampler<Far>(*this, options)(labels, callback);
    }

    /// A model with fresh random parameters.
    [[nodiscard]] static Far random(std::uint64_t seed) {
        Far model;
        model.initialize(seed);
        return model;
    }
};

}  // namespace flowfar
