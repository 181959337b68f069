/// MAR's training loss, gradients and sampling, set by set, against the reference.

#include <doctest/doctest.h>

#include "flowfar/mar/loss.hpp"

#include "golden_paradigms.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

template <class C>
void check_training(const std::string& name) {
    using Model = Mar<C, Autodiff<Tested>>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(name, model);
    auto draws = recorded_draws<MarDraws>(*golden, "mar.train", Model::tokens);
    draws.mask.emplace(golden->integers("orders"), Model::tokens, recorded_hidden(*golden, Model::tokens));
    golden->close("train.mask",
                  {{draws.mask->batch(), Model::tokens}, {draws.mask->flags().begin(), draws.mask->flags().end()}},
                  0.0);
    MarLossOptions options;
    options.multiplier = static_cast<Index>(golden->number("mul"));
    options.run = {};
    const auto latents = filled<typename Model::Latents>("mar.latent", golden->extents("latent"), 0.0, 1.5);
    golden->close("tokens", Model::patchify(latents), 0.0);
    const auto noise =
        filled<typename Model::Head::Rows>("mar.train.2", {static_cast<Index>(draws.steps.size()), Model::token_dim});
    const auto loss = mar_loss(model, latents, golden->integers("labels"), draws, noise, options);
    golden->close("train.z", loss.z, 1e-5);
    golden->close("train.loss", loss.total, 5e-5);
    check_gradients(name, model, loss.total);
}

template <class C>
void check_sampling(const std::string& name) {
    using Model = Mar<C, Tested>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(name, model);
    const std::vector<Index> labels = golden->integers("labels");
    const auto batch = static_cast<Index>(labels.size());
    const auto tokens = static_cast<std::size_t>(batch * Model::tokens);
    const auto runs = golden->lists("runs");
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const std::string run = text("run", i, ".");
        const auto options = recorded_options(*golden, runs[i]);
        const MarSampler<Model> sampler(model, options);
        const auto inputs = golden->doubles(run + "tokens_in");
        const std::vector<Index> flags = golden->integers(run + "mask_in");
        const std::vector<double> masks(flags.begin(), flags.end());
        const auto facts = golden->doubles(run + "temperature_cfg_rows");
        int steps = 0;
        const auto callback = [&](const TokenStep<Model>& step) {
            const int k = step.step - 1;
            CAPTURE(run);
            CAPTURE(k);
            ++steps;
            check_error(text(run, "input of step ", k),
                        relative_l2(host(step.input).values,
                                    at_step(inputs, k, tokens * static_cast<std::size_t>(Model::token_dim))),
                        2e-4);
            const auto& hidden = step.mask->flags();
            CHECK(std::vector<double>(hidden.begin(), hidden.end()) == at_step(masks, k, tokens));
            const std::vector<double> want = at_step(facts, k, 3);
            CHECK(std::abs(step.temperature - want[0]) < 1e-12);
            CHECK(std::abs(step.guidance - want[1]) < 1e-12);
            CHECK(step.drawn * batch * (step.guidance == 1.0 ? 1 : 2) == static_cast<Index>(want[2]));
            return true;
        };
        const auto count = static_cast<int>(options.steps->kept(0, 1, model.head.process.steps()).size());
        const RecordedTokenDraws<Model> draws{text("mar.sample", i), count, batch, golden->integers("orders")};
        golden->close(run + "final", sampler.run(labels, draws, callback), 2e-4);
        CHECK(steps == *options.iterations);
    }
}

}  // namespace

TEST_CASE("MAR's training loss and gradients") {
    MarModels::each([]<class R>() { check_training<typename R::Config>(R::name); });
}
TEST_CASE("MAR's sampling with linear, constant and no guidance, set by set") {
    MarModels::each([]<class R>() { check_sampling<typename R::Config>(R::name); });
}
