#pragma once

#include <string_view>

#include "flowfar/autoregressive/config.hpp"
#include "flowfar/frequency/pyramid.hpp"

namespace flowfar {

// FAR's names of what all paradigms share.
using FarGuidance = GuidanceSchedule;
using FarTemperature = TemperatureSchedule;
using FarSampling = TokenSampling;

/// FAR configurations are named types; derive from one to change a member. B: 207.9M parameters, 256×256 images in the
/// latent space of the KL-16 autoencoder (arXiv 2503.05305, table 1). In latents that are no squares, levels count by
/// the shorter side. Sizes are described in autoregressive/config.hpp.
struct FarB : MaskedConfig {
    static constexpr std::string_view name = "FarB";
    static constexpr Index level_limit = 0;          ///< sampling's levels are below this; 0: the latent's shorter side
    static constexpr bool masked = false;            ///< trained and sampled with hidden tokens
    static constexpr bool level_per_sample = false;  ///< trained with a level per sample whatever the options say
    static constexpr bool mask_ignores_level = false;  ///< training hides 70% of the tokens or more at every level
    using Filter = SpatialFilter;
    using Sampling = Levels<0, 2, 3, 4, 5, 6, 7, 8, 9, 10>;  ///< levels of the autoregressive steps
};

/// 450.6M parameters.
struct FarL : FarB {
    static constexpr std::string_view name = "FarL";
    static constexpr Index hidden = 1024;
    static constexpr Index heads = 16;
    static constexpr Index encoder_depth = 16;
    static constexpr Index decoder_depth = 16;
    static constexpr Index head_width = 1536;
    static constexpr Index head_depth = 3;
};

/// The released script's L with the narrower diffusion MLP: 426.4M parameters.
struct FarL1024 : FarL {
    static constexpr std::string_view name = "FarL1024";
    static constexpr Index head_width = 1024;
};

/// 811.7M parameters.
struct FarH : FarL1024 {
    static constexpr std::string_view name = "FarH";
    static constexpr Index hidden = 1280;
    static constexpr Index encoder_depth = 20;
    static constexpr Index decoder_depth = 20;
};

/// A model that trains on a CPU within the hour: 32×32 pixels as 8×8 tokens of 4×4, ten classes, 1.69M parameters.
struct FarTiny : FarB {
    static constexpr std::string_view name = "FarTiny";
    static constexpr Index classes = 10;
    static constexpr Index channels = 3;
    static constexpr Index side = 32;
    static constexpr Index patch = 4;
    static constexpr Index buffer = 8;
    static constexpr Index hidden = 96;
    static constexpr Index heads = 4;
    static constexpr Index encoder_depth = 3;
    static constexpr Index decoder_depth = 3;
    static constexpr Index head_width = 256;
    static constexpr Index head_depth = 2;
    static constexpr bool masked = false;
    using Filter = SpatialFilter;
    using Sampling = Levels<0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24>;
    /// Shares that give samples the spread of training photos at every level, found by
    /// benchmarks/quality/far_calibrate. From level 8 on cells are single tokens.
    static constexpr LevelShare coherence[] = {{1, 0.45}, {2, 0.68}, {4, 0.66}, {7, 0.52}};
    /// The limit bounds pixels as latents (PixelTokenizer); without it small models run away to saturated noise.
    static constexpr FarSampling sampling{.diffusion_steps = 50,
                                          .guidance = 1.5,
                                          .guidance_schedule = FarGuidance::constant,
                                          .temperature_schedule = FarTemperature::constant,
                                          .limit = 2.0,
                                          .coherence = coherence};
};

/// For tests that must end within seconds: 16×16 pixels as 4×4 tokens.
struct FarNano : FarTiny {
    static constexpr std::string_view name = "FarNano";
    static constexpr Index side = 16;
    static constexpr Index buffer = 2;
    static constexpr Index hidden = 32;
    static constexpr Index heads = 2;
    static constexpr Index encoder_depth = 1;
    static constexpr Index decoder_depth = 1;
    static constexpr Index head_width = 32;
    static constexpr Index head_depth = 1;
};

/// FAR on the codes of FlowMoTiny64: 64 tokens of 36 values as an 8×8 square, ten classes.
struct FarTinyCode : FarTiny {
    static constexpr std::string_view name = "FarTinyCode";
    static constexpr Index channels = 36;
    static constexpr Index side = 8;
    static constexpr Index patch = 1;
    static constexpr FarSampling sampling{.diffusion_steps = 50};
};

/// A configuration trained and sampled with hidden tokens. The parameters are the same.
template <class C>
struct Masked : C {
    static constexpr bool masked = true;
};

/// The model of a configuration on a backend: far/model.hpp.
template <class C, class B, class T = float>
class Far;

/// As CheckedMaskedConfig, with FAR's levels.
template <class C>
struct CheckedFarConfig : CheckedMaskedConfig<C> {
    using Base = CheckedMaskedConfig<C>;
    static constexpr Index levels = Base::height < Base::width ? Base::height : Base::width;  ///< 0 … levels − 1
    static constexpr Index level_limit = C::level_limit == 0 ? levels : C::level_limit;
};

}  // namespace flowfar
