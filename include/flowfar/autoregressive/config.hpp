#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "flowfar/core/dtype.hpp"

namespace flowfar {

/// How guidance grows while the tokens of an image are drawn. The share is that of the autoregressive steps before this
/// one (FAR, VAR), or of the tokens drawn with and before this step (MAR, raster).
enum class GuidanceSchedule : std::uint8_t {
    linear,   ///< 1 + (g − 1)·share
    constant  ///< g
};

/// How the temperature of the diffusion noise moves over the autoregressive steps; T is the option's value.
enum class TemperatureSchedule : std::uint8_t {
    published,  ///< as FAR's released samplers: linear with hidden tokens; without, cosine with T = 1 whatever T is
    cosine,     ///< T·(0.8 + 0.2·(1 − cos(π/2·(k + 1)/n)))
    linear,     ///< 0.85 + (T − 0.85)·k/n
    constant    ///< T
};

/// FAR's coherence (far/coherence.hpp) of the step whose result is low-passed at `level`.
struct LevelShare {
    Index level;
    double share;
};

/// How a configuration is sampled unless the options say otherwise. The defaults are FAR's published ones.
struct TokenSampling {
    int diffusion_steps = 100;  ///< of each autoregressive step
    double guidance = 3.0;
    GuidanceSchedule guidance_schedule = GuidanceSchedule::linear;
    TemperatureSchedule temperature_schedule = TemperatureSchedule::published;
    double limit = 0.0;  ///< bound of the clean latents that a diffusion step may predict; 0: none
    std::span<const LevelShare> coherence = {};  ///< FAR: by rising level; empty: tokens are drawn independently
    bool filter_first = false;                   ///< FAR with hidden tokens: low-pass the first step's result, too
    int iterations = 64;                         ///< MAR: autoregressive steps
};

/// What the configurations of all paradigms say. Here are the values of the base sizes for 256×256 images in the latent
/// space of the KL-16 autoencoder. Configurations are named types; derive from one to change a member.
///
/// Latents that are no squares have a `height` and a `width`.
struct TokenConfig {
    static constexpr Index classes = 1000;
    static constexpr Index channels = 16;      ///< of the latent
    static constexpr Index side = 16;          ///< latent height and width
    static constexpr Index height = 0;         ///< of the latent; 0: side
    static constexpr Index width = 0;          ///< of the latent; 0: side
    static constexpr Index patch = 1;          ///< a token is a patch of the latent
    static constexpr Index buffer = 64;        ///< leading positions that hold the class
    static constexpr Index hidden = 768;       ///< transformer width
    static constexpr Index heads = 12;         ///< attention heads
    static constexpr double mlp_ratio = 4.0;   ///< inner width of the blocks' MLPs over the transformer width
    static constexpr Index head_width = 1024;  ///< diffusion MLP
    static constexpr Index head_depth = 6;
    static constexpr bool indexed = true;  ///< the diffusion MLP is told the level or scale that it draws
    static constexpr TokenSampling sampling{};
};

/// Configurations of an encoder and a decoder, as masked autoencoders have them (arXiv 2111.06377). A decoder of
/// another size than the encoder has its own `decoder_hidden` and `decoder_heads`: `decoder_embed` maps the encoder's
/// width to the decoder's, which is also the width of z.
struct MaskedConfig : TokenConfig {
    static constexpr Index decoder_hidden = 0;  ///< the decoder's transformer width; 0: hidden
    static constexpr Index decoder_heads = 0;   ///< the decoder's attention heads; 0: heads
    static constexpr Index encoder_depth = 12;  ///< blocks
    static constexpr Index decoder_depth = 12;
};

/// Configurations of one stack of blocks with causal attention.
struct CausalConfig : TokenConfig {
    static constexpr Index depth = 24;  ///< blocks
};

/// Everything that a configuration must satisfy; instantiating it checks. Members that C leaves at 0 have their values
/// here.
template <class C>
struct CheckedTokenConfig : C {
    static constexpr Index height = C::height == 0 ? C::side : C::height;
    static constexpr Index width = C::width == 0 ? C::side : C::width;
    static_assert(C::classes >= 1 && C::channels >= 1 && height >= 1 && width >= 1,
                  "configuration: classes, channels, height and width are positive");
    static_assert(C::patch >= 1 && height % C::patch == 0 && width % C::patch == 0,
                  "configuration: the patch size must divide the latent's height and width");
    static_assert(C::buffer >= 0, "configuration: the number of buffer positions must not be negative");
    static_assert(C::hidden % C::heads == 0, "configuration: the number of heads must divide the hidden width");
    static_assert(C::sampling.diffusion_steps >= 1 && C::sampling.limit >= 0.0,
                  "configuration: a positive number of diffusion steps, and a limit that is not negative");
    static constexpr Index rows = height / C::patch;  ///< of tokens, in raster order
    static constexpr Index columns = width / C::patch;
    static constexpr Index tokens = rows * columns;
    static constexpr Index token_dim = C::channels * C::patch * C::patch;
    static constexpr Index positions = C::buffer + tokens;

    /// Inner width of the MLPs of blocks of this width, rounded down.
    [[nodiscard]] static constexpr Index mlp_width(Index hidden) {
        return static_cast<Index>(static_cast<double>(hidden) * C::mlp_ratio);
    }
    static_assert(mlp_width(C::hidden) >= 1, "configuration: the MLP ratio is too small");
};

template <class C>
struct CheckedMaskedConfig : CheckedTokenConfig<C> {
    static constexpr Index decoder_hidden = C::decoder_hidden == 0 ? C::hidden : C::decoder_hidden;
    static constexpr Index decoder_heads = C::decoder_heads == 0 ? C::heads : C::decoder_heads;
    static_assert(decoder_hidden % decoder_heads == 0,
                  "configuration: the number of heads must divide the hidden width");
    static constexpr Index encoder_mlp = CheckedTokenConfig<C>::mlp_width(C::hidden);
    static constexpr Index decoder_mlp = CheckedTokenConfig<C>::mlp_width(decoder_hidden);
    static_assert(decoder_mlp >= 1, "configuration: the MLP ratio is too small");
};

}  // namespace flowfar
