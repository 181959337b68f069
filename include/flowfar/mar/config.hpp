#pragma once

#include <string_view>

#include "flowfar/autoregressive/config.hpp"

namespace flowfar {

/// MAR configurations (arXiv 2406.11838): FAR's transformer, whose head is told no level. 207.9M parameters, 256×256
/// images in the latent space of the KL-16 autoencoder. Published samples: 256 iterations of 100 diffusion steps,
/// guidance 2.9; without guidance, temperature 0.95.
struct MarB : MaskedConfig {
    static constexpr std::string_view name = "MarB";
    static constexpr bool indexed = false;
    static constexpr TokenSampling sampling{.guidance = 2.9, .temperature_schedule = TemperatureSchedule::constant};
};

/// 478.3M parameters.
struct MarL : MarB {
    static constexpr std::string_view name = "MarL";
    static constexpr Index hidden = 1024;
    static constexpr Index heads = 16;
    static constexpr Index encoder_depth = 16;
    static constexpr Index decoder_depth = 16;
    static constexpr Index head_width = 1280;
    static constexpr Index head_depth = 8;
    static constexpr TokenSampling sampling{.guidance = 3.0, .temperature_schedule = TemperatureSchedule::constant};
};

/// 942.4M parameters.
struct MarH : MarL {
    static constexpr std::string_view name = "MarH";
    static constexpr Index hidden = 1280;
    static constexpr Index encoder_depth = 20;
    static constexpr Index decoder_depth = 20;
    static constexpr Index head_width = 1536;
    static constexpr Index head_depth = 12;
    static constexpr TokenSampling sampling{.guidance = 3.2, .temperature_schedule = TemperatureSchedule::constant};
};

/// Small enough for tests: 8×8 latents of 16 channels, 100 classes.
struct MarTiny : MarB {
    static constexpr std::string_view name = "MarTiny";
    static constexpr Index classes = 100;
    static constexpr Index side = 8;
    static constexpr Index buffer = 8;
    static constexpr Index hidden = 64;
    static constexpr Index heads = 4;
    static constexpr Index encoder_depth = 2;
    static constexpr Index decoder_depth = 2;
    static constexpr Index head_width = 64;
    static constexpr Index head_depth = 2;
};

/// The model of a configuration on a backend: mar/model.hpp.
template <class C, class B, class T = float>
class Mar;

}  // namespace flowfar
