/// Deterministic solvers in the diffusion head and in FAR's sampler.

#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/backend/reference.hpp"
#include "flowfar/far/model.hpp"

#include "approx.hpp"

using namespace flowfar;
using flowfar::testing::difference_of;

namespace {

/// Fills a module with small random numbers, as a fresh head predicts 0. The embedding of the time keeps its own: with
/// others, neighboring steps would have nothing to do with each other.
template <class Module>
void randomize(Module& module, double scale) {
    using B = typename Module::Backend;
    module.initialize(1);
    for_each_parameter(module, [&](const auto& p) {
        const auto fresh = B::normal(p.extents(), p.dtype(), fold(2, p.name), 0);
        if (p.name.find("time_embed") == std::string::npos) {
            B::assign(p.value(), B::unary({UnaryOp::affine, scale, 0.0}, fresh));
        }
    });
}

}  // namespace

TEST_CASE("with more steps the solvers come to one answer; guided and not") {
    using Head = DiffusionHead<Reference, 3, 4, 16, double>;
    Head head(2);
    randomize(head, 0.1);
    constexpr Index rows = 5;
    const auto z = Head::Conditions::normal({2 * rows, 4}, 3);
    const auto level = Head::Scalars::full({1, 1}, 2.0);
    const auto start = Head::Rows::normal({rows, 3}, 4);
    const int limit = ddpm::solvable_steps(head.process);
    for (const double guidance : {1.0, 1.8}) {
        const auto condition = head.net.condition(guidance == 1.0 ? Head::Conditions(slice<0>(z, 0, rows)) : z, level);
        const auto sample = [&](DiffusionSolver solver, Index steps) {
            const auto kept = solver == DiffusionSolver::ddim ? spaced_steps(limit, {steps})
                                                              : ddpm::even_snr_steps(head.process, limit, steps);
            const auto prepared = head.prepare(respace(head.process, kept), solver);
            return head
                .sample(condition, prepared, guidance, {.temperature = 0.9},
                        [&](int draw) {
                            CHECK(draw == 0);

                            return start;
                        })
                .to_host();
        };
        const std::vector<double> answer = sample(DiffusionSolver::dpm2m, limit);
        const auto error = [&](DiffusionSolver solver, Index steps) {
            const std::vector<double> found = sample(solver, steps);
            double sum = 0.0;
            double all = 0.0;
            for (std::size_t i = 0; i < found.size(); ++i) {
                sum += (found[i] - answer[i]) * (found[i] - answer[i]);
                all += answer[i] * answer[i];
            }
            return std::sqrt(sum / all);
        };
        CAPTURE(guidance);
        // DDIM's error falls with the first power of the steps, DPM-Solver++'s with the second.
        CHECK(error(DiffusionSolver::ddim, limit) < 0.35 * error(DiffusionSolver::ddim, 256));
        CHECK(error(DiffusionSolver::dpm2m, 64) < 0.15 * error(DiffusionSolver::dpm2m, 16));
        CHECK(error(DiffusionSolver::dpm2m, 64) < 0.005);
        CHECK(error(DiffusionSolver::dpm2m, 16) < error(DiffusionSolver::ddim, 128));
    }
}

TEST_CASE("FAR with few steps, a number for each level") {
    Far<FarNano, Cpu> model;
    randomize(model, 0.1);
    for (const DiffusionSolver solver : {DiffusionSolver::ddim, DiffusionSolver::dpm2m}) {
        FarSampleOptions options{.levels = {0, 2, 5}, .guidance = 2.0, .coherence = std::vector<double>{}};
        options.steps = DiffusionSteps::list({4, 6, 16});
        options.solver = solver;
        std::vector<int> steps;
        const auto latents = model.generate({1, 7}, options, [&](const auto& step) {
            steps.push_back(step.diffusion_steps);
            return true;
        });
        CHECK(steps == std::vector<int>{4, 6, 16});
        for (const float value : latents.to_host()) {
            CHECK(std::isfinite(value));
        }
        CHECK(latents.to_host() == model.generate({1, 7}, options).to_host());
        options.temperature = 0.5;  // of noise that they do not draw
        CHECK(latents.to_host() == model.generate({1, 7}, options).to_host());
        options.steps = 997;
        CHECK_THROWS_WITH_AS(static_cast<void>(model.generate({1}, options)),
                             "diffusion steps: 997 at autoregressive step 0, expected 1 to 996", Error);
        options.steps = DiffusionSteps::spaced("ddim10");
        CHECK_NOTHROW(static_cast<void>(model.generate({1}, options)));
    }
}

TEST_CASE("a single step of DDIM starts from the noise, as DPM-Solver++'s does: both predict the clean rows once") {
    Far<FarNano, Cpu> model;
    randomize(model, 0.1);
    const auto difference = [&](const DiffusionSteps& steps) {
        const auto sample = [&](DiffusionSolver solver) {
            FarSampleOptions options{.levels = {0, 5}, .steps = steps, .coherence = std::vector<double>{}};
            options.solver = solver;
            const auto host = model.generate({1, 7}, options).to_host();
            return std::vector<double>(host.begin(), host.end());
        };
        return difference_of(sample(DiffusionSolver::ddim), sample(DiffusionSolver::dpm2m), 1e-5);
    };
    CHECK(difference(1) == "");
    CHECK(difference(DiffusionSteps::list({1, 1})) == "");
    CHECK(difference(3) != "");
}
