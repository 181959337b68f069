#pragma once

// Command-line options that the FAR programs share: how latents are sampled.

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/far/sample_options.hpp"

#include "common/cli/cli.hpp"
#include "common/cli/compute_options.hpp"

namespace flowfar::program {

struct FarSamplingArguments {
    std::vector<Index> levels;
    int autoregressive_steps = 0;
    ComputeArguments compute;
    std::string steps, solver = "ddpm", guidance_schedule, temperature_schedule;
    double temperature = 1.0;
    std::optional<double> guidance, limit;
    std::vector<double> coherence;
    bool filter_between = true;
    std::uint64_t seed = 0;

    /// `side` is the latent's shorter one. Throws UsageError for options that do not fit together.
    [[nodiscard]] FarSampleOptions options(Index side) const {
        FarSampleOptions o;
        o.levels = levels;
        if (autoregressive_steps > 0) {
            if (!levels.empty()) {
                throw UsageError("--ar-steps and --levels exclude each other");
            }
            o.levels = spread_levels(side, autoregressive_steps);
        }
        if (!steps.empty()) {
            o.steps = diffusion_steps();
        }
        o.solver = solver == "ddim"    ? DiffusionSolver::ddim
                   : solver == "dpm2m" ? DiffusionSolver::dpm2m
                                       : DiffusionSolver::ancestral;
        o.guidance = guidance;
        if (!guidance_schedule.empty()) {
            o.guidance_schedule = guidance_schedule == "constant" ? FarGuidance::constant : FarGuidance::linear;
        }
        o.temperature = temperature;
        if (!temperature_schedule.empty()) {
            o.temperature_schedule = temperature_schedule == "cosine"     ? FarTemperature::cosine
                                     : temperature_schedule == "linear"   ? FarTemperature::linear
                                     : temperature_schedule == "constant" ? FarTemperature::constant
                                                                          : FarTemperature::published;
        }
        o.limit = limit;
        if (!coherence.empty()) {
            o.coherence = coherence;
        }
        o.filter_between = filter_between;
        o.seed = seed;
        return o;
    }

   private:
    /// "50", "40-100" (rising linearly), "10:20:40" (one number per level), or the words of `spaced_steps`.
    [[nodiscard]] DiffusionSteps diffusion_steps() const {
        const auto number = [&](const std::string& word) {
            int value = 0;
            const auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), value);
            if (status != std::errc() || end != word.data() + word.size() || value < 1) {
                throw UsageError(text("--steps: \"", steps, "\": expected numbers of at least 1"));
            }
            return value;
        };
        if (const std::size_t dash = steps.find('-'); dash != std::string::npos) {
            return DiffusionSteps::linear(number(steps.substr(0, dash)), number(steps.substr(dash + 1)));
        }
        if (steps.find(':') != std::string::npos) {
            std::vector<int> counts;
            for (std::size_t begin = 0; begin <= steps.size();) {
                const std::size_t end = std::min(steps.find(':', begin), steps.size());
                counts.push_back(number(steps.substr(begin, end - begin)));
                begin = end + 1;
            }
            return DiffusionSteps::list(std::move(counts));
        }
        if (steps.find_first_not_of("0123456789") == std::string::npos) {
            static_cast<void>(number(steps));
        }
        return DiffusionSteps::spaced(steps);
    }
};

/// Declares the sampling options.
inline void add_far_sampling_options(Spec& spec, FarSamplingArguments& a) {
    spec.section("Sampling");
    spec.option("levels", a.levels, "frequency levels, increasing from 0; each is one autoregressive step").at_least(0);
    spec.option("ar-steps", a.autoregressive_steps,
                "this many levels, denser at low ones; 0: as --levels or the configuration says")
        .range(0, 64);
    spec.option(
        "steps", a.steps,
        "diffusion steps per level: N, LOW-HIGH rising linearly, one number per level with colons between them, "
        "or sections of the 1000 steps such as 10,15,20 or ddim50; default: 100, FarTiny 50");
    spec.option("solver", a.solver,
                "how the diffusion steps are taken: ddpm draws noise in each of tens of steps; ddim and dpm2m "
                "(DPM-Solver++) draw none and make do with --steps 4 to 16; then --temperature does not matter")
        .choices({"ddpm", "ddim", "dpm2m"});
    spec.option("guidance", a.guidance,
                "how far to exaggerate what the label says; 1: not at all; default: 3, FarTiny 1.5")
        .range(-100, 100);
    spec.option("guidance-schedule", a.guidance_schedule,
                "linear rises from 1 over the levels; default: linear, FarTiny constant")
        .choices({"linear", "constant"});
    spec.option("temperature", a.temperature, "factor of the diffusion noise").range(0, 10);
    spec.option(
            "temperature-schedule", a.temperature_schedule,
            "how the temperature changes over the levels; published: linear for models with hidden tokens, for "
            "others cosine with a temperature of 1, whatever --temperature is; default: published, FarTiny constant")
        .choices({"published", "cosine", "linear", "constant"});
    spec.option("limit", a.limit,
                "largest clean value that a diffusion step may predict; 0: none, as published; default: 2 for "
                "pixels, else 0")
        .range(0, 1e6);
    spec.option(
            "coherence", a.coherence,
            "share of the noise that neighboring tokens have in common, 0 to 1: one number for all levels or one per "
            "level but the last; it gives samples the colors and layouts that independent tokens average away; 0: "
            "none, as published; default: none, FarTiny as calibrated")
        .range(0, 1);
    spec.flag("filter", a.filter_between,
              "low-pass each level's result before the next; off for models trained with --no-simplified");
    spec.option("seed", a.seed, "seed of the noise; image i depends on the seed and i alone");
    add_compute_options(spec, a.compute);
}

}  // namespace flowfar::program
