#pragma once

// Command-line options that the FlowMo programs share: how tokens are sampled, and how photos are fitted to the model.

#include <cstdint>
#include <string>
#include <vector>

#include "flowfar/flowmo/sample_options.hpp"

#include "common/cli/cli.hpp"
#include "common/cli/compute_options.hpp"
#include "config_tables.hpp"

namespace flowfar::program {

struct SamplingArguments {
    int steps = 25;
    ComputeArguments compute;
    double guidance = 1.5, power = 0.25;
    std::vector<double> interval = {0.17, 1.02};
    std::uint64_t seed = 0;
    std::string config;  // of the model file, where it does not name its own

    /// Throws UsageError for an impossible interval.
    [[nodiscard]] FlowMoDecodeOptions options() const {
        if (interval.size() != 2 || interval[0] > interval[1]) {
            throw UsageError("--interval needs two numbers, the lower first, such as 0.17,1.02");
        }
        return {.steps = steps,
                .power = power,
                .guidance = guidance,
                .interval = GuidanceInterval::from_sigma(interval[0], interval[1]),
                .seed = seed};
    }
};

/// Whether a program needs --model.
enum class ModelOption : std::uint8_t { required, optional };

/// Declares --model and --config.
inline void add_model_options(Spec& spec, std::string& model, SamplingArguments& a,
                              ModelOption kind = ModelOption::required) {
    OptionHandle handle = spec.option("model", model,
                                      "weights of a FlowMo: as published (.pth, averaged ones preferred), or "
                                      "flowmo_train's; formats are told "
                                      "by contents, the configuration by the file or its tensors")
                              .placeholder("FILE");
    if (kind == ModelOption::required) {
        handle.required();
    }
    spec.option("config", a.config, "configuration of the model, in place of what its file says")
        .choices(FlowMoConfigs::names());
}

/// Whether a program has --steps; those that try several numbers of steps have none.
enum class StepsOption : std::uint8_t { present, absent };

/// Declares the sampling options.
inline void add_sampling_options(Spec& spec, SamplingArguments& a, StepsOption steps = StepsOption::present) {
    spec.section("Sampling");
    if (steps == StepsOption::present) {
        spec.option("steps", a.steps, "sampling steps; more are slower and closer to the model's best").range(1, 10000);
    }
    spec.option("guidance", a.guidance, "how far to exaggerate what the tokens say; 1: not at all").range(-100, 100);
    spec.option("power", a.power, "power of the schedule t = (k/N)^(1/power); 1: even steps").above(0, 100);
    spec.option("interval", a.interval, "noise levels t/(1-t) between which guidance acts")
        .range(0, 1e6)
        .placeholder("LOW,HIGH");
    spec.option("seed", a.seed, "seed of the noise that sampling starts from");
    add_compute_options(spec, a.compute);
}

}  // namespace flowfar::program
