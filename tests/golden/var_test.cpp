/// Next-scale prediction with residual scales and without: pyramid, z, training loss, gradients and sampling, scale by
/// scale, against a recorded definition.

#include <doctest/doctest.h>

#include "flowfar/var/loss.hpp"

#include "golden_paradigms.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

template <class C>
void check_training(const std::string& name) {
    using Model = Var<C, Autodiff<Tested>>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(name, model);
    const auto draws = recorded_draws<VarDraws>(*golden, "var.step", Model::tokens);
    golden->equal("train.diff_t", {draws.steps.begin(), draws.steps.end()});
    VarLossOptions options;
    options.multiplier = static_cast<Index>(golden->number("mul"));
    options.run = {};
    const std::vector<Index> labels = golden->integers("labels");
    const auto latents = filled<typename Model::Latents>("var.latent", golden->extents("latent"), 0.0, 1.5);
    const auto scales = Model::Pyramid::of(latents, Model::Config::scales);
    golden->close("pyramid.targets", scales.targets, 5e-6);
    golden->close("pyramid.inputs", scales.inputs, 5e-6);
    golden->close("eval.z", model.conditions(scales.inputs, labels), 1e-5);
    const auto noise =
        filled<typename Model::Head::Rows>("var.step.2", {static_cast<Index>(draws.steps.size()), Model::token_dim});
    const auto loss = var_loss(model, latents, labels, draws, noise, options);
    golden->close("train.z", loss.z, 1e-5);
    golden->close("train.loss", loss.total, 1e-5);
    HostTensor means{{static_cast<Index>(loss.scale_loss.size())}, {}};
    for (const auto& mean : loss.scale_loss) {
        means.values.push_back(host(mean).values[0]);
    }
    golden->close("train.scale_loss", means, 2e-5);
    check_gradients(name, model, loss.total);
}

template <class C>
void check_sampling(const std::string& name) {
    using Model = Var<C, Tested>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(name, model);
    const std::vector<Index> labels = golden->integers("labels");
    const auto batch = static_cast<Index>(labels.size());
    const auto runs = golden->lists("runs");
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const std::string run = text("run", i, ".");
        const auto options = recorded_options(*golden, runs[i]);
        const VarSampler<Model> sampler(model, options);
        typename Model::Inputs inputs;
        typename Model::Inputs tokens;
        const auto joined = [](const auto& before, const auto& x) {
            return before.defined() ? typename Model::Inputs(concat<1>(before, x)) : x;
        };
        const auto callback = [&](const TokenStep<Model>& step) {
            inputs = joined(inputs, step.input);
            CHECK(step.drawn == step.level * step.level);
            return true;
        };
        const auto chain = [&](const auto&... arguments) {
            const auto rows = model.head.sample(arguments...);
            tokens = joined(tokens, typename Model::Inputs(
                                        reshape<dyn, dyn, Model::token_dim>(rows, batch, rows.extent(0) / batch)));
            return rows;
        };
        const auto count = static_cast<int>(options.steps->kept(0, 1, model.head.process.steps()).size());
        const RecordedTokenDraws<Model> draws{text("var.sample", i), count, batch};
        golden->close(run + "final", sampler.run(labels, draws, callback, chain), 5e-4);
        golden->close(run + "tokens", tokens, 5e-4);
        golden->close(run + "inputs", inputs, 5e-4);
    }
}

}  // namespace

TEST_CASE("next-scale prediction: pyramid, z, training loss and gradients") {
    VarModels::each([]<class R>() { check_training<typename R::Config>(R::name); });
}
TEST_CASE("next-scale prediction: sampling with linear, constant and no guidance, scale by scale") {
    VarModels::each([]<class R>() { check_sampling<typename R::Config>(R::name); });
}
