#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "flowfar/autoregressive/class_embedding.hpp"
#include "flowfar/autoregressive/schedules.hpp"
#include "flowfar/autoregressive/token_mask.hpp"
#include "flowfar/diffusion/solver.hpp"

namespace flowfar {

/// How labels become latents. What is absent is as the configuration says (`TokenSampling`). What belongs to another
/// paradigm than the model's is an error.
struct TokenSampleOptions {
    std::vector<Index> levels = {};            ///< FAR: increasing, below the shorter side; empty: the configuration's
    std::optional<DiffusionSteps> steps = {};  ///< of each autoregressive step; absent: the configuration's number
    std::optional<double> guidance = {};       ///< ε = ε_null + g (ε_cond − ε_null); 1 switches it off
    std::optional<GuidanceSchedule> guidance_schedule = {};
    double temperature = 1.0;  ///< factor of the noise that ancestral sampling adds in every diffusion step
    std::optional<TemperatureSchedule> temperature_schedule = {};
    /// Limits the clean token that every diffusion step predicts to [−limit, limit]; 0: no limit, as published; absent:
    /// the configuration's. Where the tokenizer has a bound, as pixels have, it keeps the first steps of small models
    /// from running away: there a small error of ε is a large one of the token.
    std::optional<double> limit = {};
    /// FAR: correlation of the noise of neighboring tokens (far/coherence.hpp), 0 … 1: one number for all
    /// autoregressive steps, one per step but the last, or none for independent tokens, as published; absent: the
    /// configuration's.
    std::optional<std::vector<double>> coherence = {};
    bool filter_between = true;  ///< FAR: low-pass each result before it is the next input; off for models trained to
                                 ///< predict the next level
    std::optional<int> iterations = {};  ///< MAR: autoregressive steps, at least 1; absent: the configuration's
    /// How the diffusion steps are taken. Deterministic solvers need few, 4 to 16; they draw no noise but the first, so
    /// that the temperature does not matter. A number of steps spreads them over those that have signal (`ddim`: evenly
    /// in time, `dpm2m`: evenly in λ).
    ///
    ///     model.generate({207}, {.steps = 8, .solver = DiffusionSolver::dpm2m});
    DiffusionSolver solver = DiffusionSolver::ancestral;
    std::uint64_t seed = 0;
    std::uint64_t first_sample = 0;  ///< number of the first sample in the stream of `seed`
    /// Asked before every diffusion step; true cancels: the result is the last finished autoregressive step's, or
    /// zeros if there is none.
    std::function<bool()> stop = {};
};

/// What a callback sees after each autoregressive step.
template <class Model>
struct TokenStep {
    int step;  ///< 1 … steps
    int steps;
    Index level;  ///< FAR: frequency level; VAR: tokens per side of the scale; 0 otherwise
    Index drawn;  ///< tokens drawn in each sample
    int diffusion_steps;
    double guidance;
    double temperature;
    const typename Model::Tokens& input;      ///< what the transformer saw: hidden tokens and those to come are zero
    const TokenMask* mask;                    ///< which tokens were hidden, or null
    const typename Model::Latents& estimate;  ///< the result if sampling stopped here
};

/// Called after each autoregressive step; returning false stops with the current estimate.
template <class Model>
using TokenCallback = std::function<bool(const TokenStep<Model>&)>;

}  // namespace flowfar
