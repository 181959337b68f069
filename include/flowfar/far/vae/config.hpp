#pragma once

#include <array>
#include <string_view>

#include "flowfar/core/shape.hpp"

namespace flowfar {

/// Configurations of the autoencoder are named types; derive from one to change a member. KL-16: 256×256 pixels become
/// 16×16 latent pixels of 16 channels (Rombach et al. 2022; this training: Li et al. 2024, arXiv 2406.11838).
struct Kl16 {
    static constexpr std::string_view name = "Kl16";
    static constexpr Index image_channels = 3;
    static constexpr Index latent_channels = 16;
    static constexpr Index width = 128;  ///< channels of the finest level
    /// Channels of the levels from fine to coarse, as multiples of `width`; each level halves the image.
    static constexpr std::array<Index, 5> multipliers{1, 1, 2, 2, 4};
    static constexpr Index blocks = 2;                 ///< residual blocks per level; the decoder has one more
    static constexpr Index groups = 32;                ///< of the group norms
    static constexpr Index resolution = 256;           ///< the nominal image size
    static constexpr Index attention_resolution = 16;  ///< the encoder attends at the level of this nominal size
    static constexpr double latent_scale = 0.2325;     ///< makes latents of unit variance
};

/// KL-16 with a quarter of the channels, for tests and experiments on a CPU.
struct Kl16Tiny : Kl16 {
    static constexpr std::string_view name = "Kl16Tiny";
    static constexpr Index width = 32;
};

/// The autoencoder of a configuration on a backend: far/vae/model.hpp.
template <class C, class B, class T = float>
class Vae;

}  // namespace flowfar
