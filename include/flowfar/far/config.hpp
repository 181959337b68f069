#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "flowfar/frequency/pyramid.hpp"

namespace flowfar {

/// How guidance grows over the autoregressive steps.
enum class FarGuidance : std::uint8_t {
    linear,   ///< 1 + (g − 1)·k/n: none at the first step
    constant  ///< g
};

/// How the temperature of the diffusion noise moves over the autoregressive steps; T is the option's value.
enum class FarTemperature : std::uint8_t {
    published,  ///< as the released samplers: linear with hidden tokens; without, cosine with T = 1 whatever T is
    cosine,     ///< T·(0.8 + 0.2·(1 − cos(π/2·(k + 1)/n)))
    linear,     ///< 0.85 + (T − 0.85)·k/n
    constant    ///< T
};

/// Coherence (far/coherence.hpp) of the step whose result is low-passed at `level`.
struct LevelShare {
    Index level;
    double share;
};

/// How a configuration is sampled unless the options say otherwise. The defaults are the published ones.
struct FarSampling {
    int diffusion_steps = 100;  ///< of each autoregressive step
    double guidance = 3.0;
    FarGuidance guidance_schedule = FarGuidance::linear;
    FarTemperature temperature_schedule = FarTemperature::published;
    double limit = 0.0;  ///< bound of the clean latents that a diffusion step may predict; 0: none
    std::span<const LevelShare> coherence = {};  ///< by rising level; empty: tokens are drawn independently
    bool filter_first = false;                   ///< with hidden tokens, low-pass the first step's result, too
};

/// FAR configurations are named types; derive from one to change a member. B: 207.9M parameters, 256×256 images in the
/// latent space of the KL-16 autoencoder (arXiv 2503.05305, table 1).
///
/// Latents that are no squares have a `height` and a `width`; levels then count by the shorter side. A decoder of
/// another size than the encoder, as masked autoencoders have it (arXiv 2111.06377), has its own `decoder_hidden` and
/// `decoder_heads`: `decoder_embed` maps the encoder's width to the decoder's, which is also the width of z.
struct FarB {
    static constexpr std::string_view name = "FarB";
    static constexpr Index classes = 1000;
    static constexpr Index channels = 16;       ///< of the latent
    static constexpr Index side = 16;           ///< latent height and width; levels are 0 … side − 1
    static constexpr Index height = 0;          ///< of the latent; 0: side
    static constexpr Index width = 0;           ///< of the latent; 0: side
    static constexpr Index level_limit = 0;     ///< sampling's levels are below this; 0: the latent's shorter side
    static constexpr Index patch = 1;           ///< a token is a patch of the latent
    static constexpr Index buffer = 64;         ///< leading positions that hold the class
    static constexpr Index hidden = 768;        ///< transformer width
    static constexpr Index heads = 12;          ///< attention heads
    static constexpr Index decoder_hidden = 0;  ///< the decoder's transformer width; 0: hidden
    static constexpr Index decoder_heads = 0;   ///< the decoder's attention heads; 0: heads
    static constexpr double mlp_ratio = 4.0;    ///< inner width of the blocks' MLPs over the transformer width
    static constexpr Index encoder_depth = 12;  ///< blocks
    static constexpr Index decoder_depth = 12;
    static constexpr Index head_width = 1024;  ///< diffusion MLP
    static constexpr Index head_depth = 6;
    static constexpr bool masked = false;              ///< trained and sampled with hidden tokens
    static constexpr bool level_per_sample = false;    ///< trained with a level per sample whatever the options say
    static constexpr bool mask_ignores_level = false;  ///< training hides 70% of the tokens or more at every level
    using Filter = SpatialFilter;
    using Sampling = Levels<0, 2, 3, 4, 5, 6, 7, 8, 9, 10>;  ///< levels of the autoregressive steps
    static constexpr FarSampling sampling{};
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

/// Everything that a configuration must satisfy; instantiating it checks. Members that C leaves at 0 have their values
/// here.
template <class C>
struct CheckedFarConfig : C {
    static constexpr Index height = C::height == 0 ? C::side : C::height;
    static constexpr Index width = C::width == 0 ? C::side : C::width;
    static constexpr Index decoder_hidden = C::decoder_hidden == 0 ? C::hidden : C::decoder_hidden;
    static constexpr Index decoder_heads = C::decoder_heads == 0 ? C::heads : C::decoder_heads;
    /// Inner widths of the MLPs, rounded down.
    static constexpr auto mlp_width = [](Index hidden) {
        return static_cast<Index>(static_cast<double>(hidden) * C::mlp_ratio);
    };
    static constexpr Index encoder_mlp = mlp_width(C::hidden);
    static constexpr Index decoder_mlp = mlp_width(decoder_hidden);
    static constexpr Index levels = height < width ? height : width;  ///< levels are 0 … levels − 1
    static constexpr Index level_limit = C::level_limit == 0 ? levels : C::level_limit;
    static_assert(C::classes >= 1 && C::channels >= 1 && levels >= 1,
                  "Far: classes, channels, height and width are positive");
    static_assert(C::patch >= 1 && height % C::patch == 0 && width % C::patch == 0,
                  "Far: the patch size must divide the latent's height and width");
    static_assert(C::buffer >= 0, "Far: the number of buffer positions must not be negative");
    static_assert(C::hidden % C::heads == 0 && decoder_hidden % decoder_heads == 0,
                  "Far: the number of heads must divide the hidden width");
    static_assert(encoder_mlp >= 1 && decoder_mlp >= 1, "Far: the MLP ratio is too small");
    static_assert(C::sampling.diffusion_steps >= 1 && C::sampling.limit >= 0.0,
                  "Far: a positive number of diffusion steps, and a limit that is not negative");
    static constexpr Index rows = height / C::patch;  ///< of tokens, in raster order
    static constexpr Index columns = width / C::patch;
    static constexpr Index tokens = rows * columns;
    static constexpr Index token_dim = C::channels * C::patch * C::patch;
    static constexpr Index positions = C::buffer + tokens;
};

}  // namespace flowfar
