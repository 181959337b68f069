#pragma once

#include "flowfar/far/config.hpp"

namespace flowfar {

/// FAR's text-to-image model (arXiv 2503.05305, section 5.3): 561.3M parameters, 256×256 images in the latent space of
/// the KL-16 autoencoder, contexts of 300 tokens from Qwen2-1.5B. Trained and sampled with hidden tokens. Images of
/// other sizes keep the levels: a level above the latent's side enlarges it first.
struct FarText256 : FarB {
    static constexpr std::string_view name = "FarText256";
    static constexpr Index buffer = 0;
    static constexpr Index hidden = 1024;
    static constexpr Index heads = 16;
    static constexpr Index head_size = 64;        ///< of attention; need not be hidden / heads
    static constexpr Index context_tokens = 300;  ///< length of a context
    static constexpr Index context_width = 1536;  ///< of the language model
    static constexpr Index encoder_depth = 16;
    static constexpr Index decoder_depth = 16;
    static constexpr Index head_width = 1024;
    static constexpr Index head_depth = 3;
    static constexpr Index level_limit = 16;
    static constexpr bool masked = true;
    static constexpr bool level_per_sample = true;
    static constexpr bool mask_ignores_level = true;
    using Sampling = Levels<0, 2, 3, 4, 5, 6, 7, 8, 10, 13>;
    static constexpr FarSampling sampling{.guidance_schedule = FarGuidance::constant,
                                          .temperature_schedule = FarTemperature::cosine,
                                          .filter_first = true};
};

/// The model of a configuration on a backend: far/text/model.hpp.
template <class C, class B, class T = float>
class FarText;

}  // namespace flowfar
