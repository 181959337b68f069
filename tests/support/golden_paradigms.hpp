#pragma once

/// What the recordings of MAR, raster AR and VAR have in common: draws of training and of sampling, gradients.

#include <cmath>
#include <string>
#include <vector>

#include "flowfar/autoregressive/loss.hpp"
#include "flowfar/autoregressive/sample_options.hpp"

#include "golden.hpp"
#include "golden/recordings.hpp"
#include "golden_backend.hpp"

namespace flowfar::testing {

/// The recorded draws of a sampling run: one counter over all calls, of which every autoregressive step makes
/// `steps` + 1. The second half of the rows belongs to the null condition.
template <class Model>
struct RecordedTokenDraws {
    std::string prefix;
    int steps;  ///< diffusion steps per autoregressive step; before them comes the start
    Index batch;
    std::vector<Index> order = {};

    [[nodiscard]] typename Model::Head::Rows noise(int k, int draw, Index count) const {
        return filled<typename Model::Head::Rows>(text(prefix, ".", (steps + 1) * k + draw),
                                                  {batch * count, Model::token_dim});
    }
    [[nodiscard]] std::vector<Index> orders() const { return order; }
};

/// The options of a recorded run: [guidance schedule, (iterations,) guidance, temperature].
[[nodiscard]] inline TokenSampleOptions recorded_options(const Golden& golden, const std::vector<std::string>& run) {
    TokenSampleOptions options;
    options.steps = DiffusionSteps::spaced(golden.word("steps"));
    options.guidance_schedule = run[0] == "linear" ? GuidanceSchedule::linear : GuidanceSchedule::constant;
    options.guidance = std::stod(run[run.size() - 2]);
    options.temperature = std::stod(run.back());
    if (run.size() == 4) {
        options.iterations = std::stoi(run[1]);
    }
    return options;
}

/// The recorded draws of one evaluation of the loss; its call 0 decides who loses the label, call 1 the diffusion steps
/// of `tokens` tokens in each sample.
template <class Draws>
[[nodiscard]] Draws recorded_draws(const Golden& golden, const std::string& prefix, Index tokens) {
    Draws draws;
    const std::vector<double> drops = golden.numbers("drop");
    for (const double drop : drops) {
        draws.keep.push_back(drop < 0.1 ? 0 : 1);
    }
    const auto rows = static_cast<std::size_t>(golden.number("mul")) * drops.size() * static_cast<std::size_t>(tokens);
    for (const float u : fill(prefix + ".1", rows, 0.5, 0.5)) {
        draws.steps.push_back(static_cast<Index>(std::floor(1000.0 * static_cast<double>(u))));
    }
    return draws;
}

/// Holds the gradients of all parameters against CASE_grads, if that is there.
template <class Model, class Scalar>
void check_gradients(const std::string& name, Model& model, const Scalar& loss) {
    const auto gradients = Golden::find(name + "_grads");
    if (!gradients) {
        return;
    }
    backward(loss);
    for_each_parameter(model, [&](const auto& p) {
        CAPTURE(p.name);
        REQUIRE(p.gradient().defined());
        gradients->close("grad." + p.name, host<Tested>(p.gradient()), 2e-4);
    });
}

}  // namespace flowfar::testing
