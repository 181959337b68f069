#pragma once

/// Sampling loops against their recordings, step by step.

#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/far/sample.hpp"

#include "golden.hpp"

namespace flowfar::testing {

/// The recorded draws: one counter over all calls; the second half of the rows belongs to the null condition.
template <class Model>
struct RecordedDraws {
    std::string prefix;
    std::vector<Index> order;
    int steps;  ///< diffusion steps per autoregressive step; before them comes the start
    Index batch;

    [[nodiscard]] typename Model::Head::Rows noise(int k, int draw) const {
        const std::string name = text(prefix, (steps + 1) * k + draw);
        return filled<typename Model::Head::Rows>(name, {batch * Model::tokens, Model::token_dim});
    }
    [[nodiscard]] std::vector<Index> orders() const { return order; }
};

/// Samples `request` with the recorded draws, whose names begin with `prefix`; checks every step's input, result,
/// schedule and mask against the recording, results to `bound`, and gives the latents.
template <class Model>
[[nodiscard]] typename Model::Latents check_sampling_steps(const Golden& golden, const Model& model,
                                                           const FarSampleOptions& options,
                                                           typename Model::Request request, const std::string& prefix,
                                                           double bound) {
    const FarSampler<Model> sampler(model, options);
    const Index batch = Model::count(request);
    const auto tokens = static_cast<std::size_t>(batch * Model::tokens);
    const std::size_t values = tokens * static_cast<std::size_t>(Model::token_dim);
    const auto inputs = golden.doubles("sample.tokens_in");
    const auto results = golden.doubles("sample.raw_latents");
    const auto schedule = golden.doubles("sample.temperature_cfg_index");
    const auto masks = Model::Config::masked ? golden.doubles("sample.mask_in") : std::vector<double>{};
    int steps = 0;
    const auto callback = [&](const FarStep<Model>& step) {
        const int k = step.step - 1;
        CAPTURE(k);
        ++steps;
        check_error(text("input of step ", k), relative_l2(host(step.input).values, at_step(inputs, k, values)), bound);
        check_error(text("result of step ", k),
                    relative_l2(host(Model::patchify(step.estimate)).values, at_step(results, k, values)), bound);
        const std::vector<double> want = at_step(schedule, k, 3);
        CHECK(std::abs(step.temperature - want[0]) < 1e-12);
        CHECK(std::abs(step.guidance - want[1]) < 1e-12);
        CHECK(static_cast<double>(step.level) == want[2]);
        if constexpr (Model::Config::masked) {
            const auto& flags = step.mask->flags();
            CHECK(std::vector<double>(flags.begin(), flags.end()) == at_step(masks, k, tokens));
        }
        return true;
    };
    const auto count = static_cast<int>(options.steps->kept(0, 1, model.head.process.steps()).size());
    auto latents =
        sampler.run(request, RecordedDraws<Model>{prefix, golden.integers("orders"), count, batch}, callback);
    CHECK(steps == static_cast<int>(sampler.options().levels.size()));
    return latents;
}

}  // namespace flowfar::testing
