#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "flowfar/core/derived/classes.hpp"
#include "flowfar/far/level_schedule.hpp"
#include "flowfar/far/token_mask.hpp"

namespace flowfar {

/// How labels become latents. What is absent is as the configuration says (`FarSampling`).
struct FarSampleOptions {
    std::vector<Index> levels = {};            ///< increasing, below the shorter side; empty: the configuration's
    std::optional<DiffusionSteps> steps = {};  ///< of each autoregressive step; absent: the configuration's number
    std::optional<double> guidance = {};       ///< ε = ε_null + g (ε_cond − ε_null); 1 switches it off
    std::optional<FarGuidance> guidance_schedule = {};
    double temperature = 1.0;
    std::optional<FarTemperature> temperature_schedule = {};
    /// Limits the clean token that every diffusion step predicts to [−limit, limit]; 0: no limit, as published; absent:
    /// the configuration's. Where the tokenizer has a bound, as pixels have, it keeps the first steps of small models
    /// from running away: there a small error of ε is a large one of the token.
    std::optional<double> limit = {};
    /// Correlation of the noise of neighboring tokens (far/coherence.hpp), 0 … 1: one number for all autoregressive
    /// steps, one per step but the last, or none for independent tokens, as published; absent: the configuration's.
    std::optional<std::vector<double>> coherence = {};
    bool filter_between = true;  ///< low-pass each result before it is the next input; off for models trained to
                                 ///< predict the next level
    std::uint64_t seed = 0;
    std::uint64_t first_sample = 0;  ///< number of the first sample in the stream of `seed`
    /// Asked before every diffusion step; true cancels: the result is the last finished autoregressive step's, or
    /// zeros if there is none.
    std::function<bool()> stop = {};
};

/// What a callback sees after each autoregressive step.
template <class Model>
struct FarStep {
    int step;  ///< 1 … steps
    int steps;
    Index level;
    int diffusion_steps;
    double guidance;
    double temperature;
    const typename Model::Tokens& input;      ///< what the transformer saw: low-passed, hidden tokens zero
    const TokenMask* mask;                    ///< which tokens were hidden, or null
    const typename Model::Latents& estimate;  ///< the result if sampling stopped here
};

}  // namespace flowfar
