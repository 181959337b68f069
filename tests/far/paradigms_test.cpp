/// MAR, raster AR and VAR beyond the recorded cases: kept keys and values, batches, cancellation, wrong input.

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/backend/reference.hpp"
#include "flowfar/mar/model.hpp"
#include "flowfar/raster/model.hpp"
#include "flowfar/var/model.hpp"

#include "approx.hpp"

using namespace flowfar;
using flowfar::testing::difference_of;

namespace {

struct Few : MarTiny {
    static constexpr Index side = 3;
};

/// Random parameters everywhere: a fresh model's output layers are zero.
template <class Model>
Model make(std::uint64_t seed = 1) {
    using B = typename Model::Backend;
    Model model;
    model.initialize(seed);
    for_each_parameter(model, [&](const auto& p) {
        if (p.name.find("diffloss") != std::string::npos || p.name.ends_with("bias")) {
            const auto fresh = B::normal(p.extents(), p.dtype(), fold(seed, p.name), 0);
            B::assign(p.value(), B::unary({UnaryOp::affine, 0.1, 0.0}, fresh));
        }
    });
    return model;
}

template <AnyTensor X>
std::vector<double> values(const X& x) {
    const auto host = x.to_host();
    return {host.begin(), host.end()};
}

TokenSampleOptions quick() {
    return {.steps = 3, .guidance = 2.5, .guidance_schedule = GuidanceSchedule::linear, .seed = 7};
}

const std::vector<Index> labels{3, 0, no_class};

/// A sample depends on its seed and number alone; a run that is stopped keeps what it has.
template <class Model>
void check_sampling(const TokenSampleOptions& options) {
    const Model model = make<Model>();
    const auto together = model.generate(labels, options);
    for (const double value : values(together)) {
        CHECK(std::isfinite(value));
    }
    TokenSampleOptions second = options;
    second.first_sample = 1;
    CHECK(difference_of(values(model.generate({0}, second)), values(slice<0>(together, 1, 2)), 1e-4) == "");
    second.first_sample = 2;
    CHECK(difference_of(values(model.generate({0}, second)), values(slice<0>(together, 1, 2)), 1e-2) != "");
    for (const DiffusionSolver solver : {DiffusionSolver::ddim, DiffusionSolver::dpm2m}) {
        TokenSampleOptions few = options;
        few.solver = solver;
        const auto sample = values(model.generate(labels, few));
        CHECK(sample == values(model.generate(labels, few)));
        CHECK(difference_of(sample, values(together), 1e-2) != "");
    }

    std::vector<double> seen;
    const auto stopped = model.generate(labels, options, [&](const auto& step) {
        seen = values(step.estimate);
        return step.step < 2;
    });
    CHECK(values(stopped) == seen);
    TokenSampleOptions cancelled = options;
    cancelled.stop = [] { return true; };
    CHECK(values(model.generate(labels, cancelled)) == std::vector<double>(seen.size(), 0.0));

    CHECK_THROWS_WITH_AS(static_cast<void>(model.generate({100}, options)),
                         doctest::Contains(": label 100, expected 0 to "), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(model.generate({}, options)),
                         "sample: expected at least one label or prompt", Error);
    TokenSampleOptions wrong = options;
    wrong.levels = {0, 2};
    CHECK_THROWS_WITH_AS(static_cast<void>(model.generate(labels, wrong)), doctest::Contains("levels: "), Error);
    wrong = options;
    wrong.coherence = std::vector<double>{0.5};
    CHECK_THROWS_WITH_AS(static_cast<void>(model.generate(labels, wrong)), doctest::Contains("coherence: "), Error);
    wrong = options;
    wrong.temperature_schedule = TemperatureSchedule::published;
    CHECK_THROWS_WITH_AS(static_cast<void>(model.generate(labels, wrong)),
                         doctest::Contains("the published one is FAR's"), Error);
    wrong = options;
    wrong.filter_between = false;
    CHECK_THROWS_AS(static_cast<void>(model.generate(labels, wrong)), Error);
}

}  // namespace

TEST_CASE("sampling: batches, few-step solvers, callbacks, cancellation, wrong input") {
    TokenSampleOptions options = quick();
    options.iterations = 5;
    check_sampling<Mar<MarTiny, Cpu>>(options);
    check_sampling<Raster<RasterTiny, Cpu>>(quick());
    check_sampling<Var<VarTiny, Cpu>>(quick());
    CHECK_THROWS_WITH_AS(static_cast<void>(make<Raster<RasterTiny, Cpu>>().generate(labels, options)),
                         "iterations: raster autoregression has no number of them to choose, found 5", Error);
    options.iterations = 0;
    CHECK_THROWS_WITH_AS(static_cast<void>(make<Mar<MarTiny, Cpu>>().generate(labels, options)),
                         "iterations: expected at least 1, found 0", Error);
}

TEST_CASE("MAR draws every token once; with more iterations than tokens, steps without tokens are left out") {
    const auto model = make<Mar<Few, Cpu>>();
    TokenSampleOptions options = quick();
    for (const int iterations : {1, 4, 9, 23}) {
        CAPTURE(iterations);
        options.iterations = iterations;
        Index drawn = 0;
        int steps = 0;
        const auto latents = model.generate(labels, options, [&](const auto& step) {
            CHECK(step.mask->hidden() == 9 - drawn);
            CHECK(step.drawn >= 1);
            drawn += step.drawn;
            ++steps;
            return true;
        });
        CHECK(drawn == 9);
        CHECK(steps == std::min(iterations, 9));
        for (const double value : values(latents)) {
            CHECK(value != 0.0);
        }
    }
}

TEST_CASE("kept keys and values give what computing everything again gives") {
    {
        using Model = Raster<RasterTiny, Reference, double>;
        const auto model = make<Model>();
        const auto tokens = Model::Tokens::normal({3, Model::tokens, Model::token_dim}, 3);
        const auto whole = model.conditions(tokens, labels);
        CausalRun<Model> kept(model, labels, true, MaskKind::causal);
        for (Index k = 0; k < Model::tokens; ++k) {
            if (k > 0) {
                kept.read(Model::Inputs(slice<1>(tokens, k - 1, k)), k - 1, MaskKind::causal);
            }
            CHECK(difference_of(values(kept.conditions(k, 1, false)), values(slice<1>(whole, k, k + 1)), 1e-12) == "");
        }
        CHECK_THROWS_WITH_AS(kept.read(Model::Inputs(slice<1>(tokens, 0, 2)), 0, MaskKind::causal),
                             "KeyCache: 21 tokens, but room for 19", Error);
    }
    {
        using Model = Var<VarTiny, Reference, double>;
        using Config = Model::Config;
        const auto model = make<Model>();
        const auto inputs = Model::Inputs::normal({3, Model::tokens, Model::token_dim}, 4);
        const auto whole = model.conditions(inputs, labels);
        CausalRun<Model> kept(model, labels, false, MaskKind::full);
        for (std::size_t k = 0; k < Config::scales.size(); ++k) {
            const Index first = Config::first(k);
            const Index end = Config::first(k + 1);
            kept.read(Model::Inputs(slice<1>(inputs, first, end)), first, MaskKind::full);
            CHECK(difference_of(values(kept.conditions(first, end - first, false)), values(slice<1>(whole, first, end)),
                                1e-12) == "");
        }
    }
}

TEST_CASE("a residual pyramid adds up to the latent; without residual its last scale is the latent") {
    const auto check = [&]<class Model>() {
        using Pyramid = typename Model::Pyramid;
        const auto latents = Model::Latents::normal({2, 16, 8, 8}, 6);
        auto estimate = Pyramid::begin(2);
        for (const Index side : Model::Config::scales) {
            estimate = Pyramid::with(estimate, Pyramid::target(latents, estimate, side));
        }
        CHECK(difference_of(values(estimate), values(latents), 1e-12) == "");
    };
    check.operator()<Var<VarTiny, Reference, double>>();
    check.operator()<Var<Direct<VarTiny>, Reference, double>>();
}
