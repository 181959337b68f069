#pragma once

#include <string_view>

#include "flowfar/autoregressive/causal_model.hpp"

namespace flowfar {

/// Configurations of raster autoregression with a diffusion head: MAR's sizes as one causal stack of twice the depth.
/// 207.1M parameters, 256×256 images in the latent space of the KL-16 autoencoder.
struct RasterB : CausalConfig {
    static constexpr std::string_view name = "RasterB";
    static constexpr bool indexed = false;
    static constexpr TokenSampling sampling{.temperature_schedule = TemperatureSchedule::constant};
};

/// Small enough for tests: 4×4 latents of 16 channels, ten classes.
struct RasterTiny : RasterB {
    static constexpr std::string_view name = "RasterTiny";
    static constexpr Index classes = 10;
    static constexpr Index side = 4;
    static constexpr Index buffer = 4;
    static constexpr Index hidden = 64;
    static constexpr Index heads = 4;
    static constexpr Index depth = 4;
    static constexpr Index head_width = 64;
    static constexpr Index head_depth = 2;
};

/// Tokens in raster order; the last one is never an input.
template <class C>
struct CheckedRasterConfig : CheckedCausalConfig<C, CheckedTokenConfig<C>::tokens, CheckedTokenConfig<C>::tokens - 1> {
};

/// The model of a configuration on a backend: raster/model.hpp.
template <class C, class B, class T = float>
class Raster;

}  // namespace flowfar
