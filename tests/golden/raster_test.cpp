/// Raster autoregression: z, training loss, gradients and sampling, token by token, against a recorded definition.

#include <doctest/doctest.h>

#include "flowfar/raster/loss.hpp"

#include "golden_paradigms.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

template <class C>
void check_training(const std::string& name) {
    using Model = Raster<C, Autodiff<Tested>>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(name, model);
    const auto draws = recorded_draws<RasterDraws>(*golden, "raster.train", Model::tokens);
    golden->equal("train.diff_t", {draws.steps.begin(), draws.steps.end()});
    RasterLossOptions options;
    options.multiplier = static_cast<Index>(golden->number("mul"));
    options.run = {};
    const std::vector<Index> labels = golden->integers("labels");
    const auto latents = filled<typename Model::Latents>("raster.latent", golden->extents("latent"), 0.0, 1.5);
    const auto tokens = Model::patchify(latents);
    golden->close("tokens", tokens, 0.0);
    golden->close("eval.z", model.conditions(tokens, labels), 1e-5);
    const auto noise = filled<typename Model::Head::Rows>("raster.train.2",
                                                          {static_cast<Index>(draws.steps.size()), Model::token_dim});
    const auto loss = raster_loss(model, latents, labels, draws, noise, options);
    golden->close("train.z", loss.z, 1e-5);
    golden->close("train.loss", loss.total, 1e-5);
    const auto rows =
        model.head.loss(Model::flatten(tokens), Model::flatten(loss.z), {}, draws.steps, noise, options.multiplier);
    golden->close("train.rows", reshape<dyn>(rows.mse + rows.vb, noise.extent(0)), 2e-5);
    check_gradients(name, model, loss.total);
}

template <class C>
void check_sampling(const std::string& name) {
    using Model = Raster<C, Tested>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(name, model);
    const std::vector<Index> labels = golden->integers("labels");
    const auto runs = golden->lists("runs");
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const std::string run = text("run", i, ".");
        const auto options = recorded_options(*golden, runs[i]);
        const RasterSampler<Model> sampler(model, options);
        const auto count = static_cast<int>(options.steps->kept(0, 1, model.head.process.steps()).size());
        const RecordedTokenDraws<Model> draws{text("raster.sample", i), count, static_cast<Index>(labels.size())};
        const auto final = sampler.run(labels, draws);
        golden->close(run + "final", final, 5e-4);
        golden->close(run + "tokens", Model::patchify(final), 5e-4);
        // z of every step with kept keys and values, on the recorded tokens.
        CausalRun<Model> kept(model, labels, *options.guidance != 1.0, MaskKind::causal);
        const auto tokens = golden->template tensor<typename Model::Tokens>(run + "tokens");
        const auto z = golden->doubles(run + "z");
        for (Index k = 0; k < Model::tokens; ++k) {
            if (k > 0) {
                kept.read(typename Model::Inputs(slice<1>(tokens, k - 1, k)), k - 1, MaskKind::causal);
            }
            const auto got = host(kept.conditions(k, 1, true)).values;
            check_error(text(run, "z of step ", k), relative_l2(got, at_step(z, static_cast<int>(k), got.size())),
                        k == 0 ? 1e-5 : 5e-4);
        }
    }
}

}  // namespace

TEST_CASE("raster autoregression: z, training loss and gradients") {
    RasterModels::each([]<class R>() { check_training<typename R::Config>(R::name); });
}
TEST_CASE("raster autoregression: sampling with linear, constant and no guidance") {
    RasterModels::each([]<class R>() { check_sampling<typename R::Config>(R::name); });
}
