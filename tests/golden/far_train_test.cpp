/// FAR's training loss and all gradients, with and without hidden tokens, against the reference.

#include <doctest/doctest.h>

#include "flowfar/far/loss.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "recordings.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

template <class C>
void check(const std::string& name, const std::string& parameters) {
    using Model = Far<C, Autodiff<Tested>>;
    const auto gradients = Golden::find(name + "_grads");
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(parameters, model);
    const std::vector<Index> labels = golden->integers("labels");
    const auto batch = static_cast<Index>(labels.size());
    FarDraws draws;
    draws.levels.assign(labels.size(), static_cast<Index>(golden->number("core")));
    for (const double drop : golden->numbers("drop")) {
        draws.keep.push_back(drop < golden->number("label_drop") ? 0 : 1);
    }
    const std::vector<Index> steps = golden->integers("train.diff_t");
    draws.steps.assign(steps.begin(), steps.end());
    if (C::masked) {
        draws.mask.emplace(golden->integers("orders"), Model::tokens, recorded_hidden(*golden, Model::tokens));
        golden->close("mask", {{batch, Model::tokens}, {draws.mask->flags().begin(), draws.mask->flags().end()}}, 0.0);
    }
    FarLossOptions options;
    options.multiplier = static_cast<Index>(golden->number("mul"));
    options.run = {};
    const auto latents = filled<typename Model::Latents>("far.latent", golden->extents("latent"), 0.0, 1.5);
    const auto noise = filled<typename Model::Head::Rows>(
        "far.train.3", {options.multiplier * batch * Model::tokens, Model::token_dim});
    const auto loss = far_loss(model, latents, labels, draws, noise, options);
    golden->close("train.z", loss.z, 1e-5);
    golden->close("train.loss", loss.total, 1e-5);
    if (!gradients) {
        return;
    }
    backward(loss.total);
    for_each_parameter(model, [&](const auto& p) {
        CAPTURE(p.name);
        if (!C::masked && p.name == "mask_token") {
            CHECK(!p.gradient().defined());
            return;
        }
        REQUIRE(p.gradient().defined());
        gradients->close("grad." + p.name, host<Tested>(p.gradient()), 2e-5);
    });
}

}  // namespace

TEST_CASE("training loss and gradients, with and without hidden tokens") {
    FarTransformers::each([]<class R>() { check<typename R::Config>(R::name, R::parameters); });
}
