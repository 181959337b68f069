/// FAR's training loss and all gradients, with and without hidden tokens, against the reference.

#include <doctest/doctest.h>

#include "flowfar/far/loss.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "golden_far.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using A = Autodiff<Tested>;
using Model = Far<FarTinyGolden, A>;

void check(const std::string& name, bool masked) {
    const auto golden = Golden::find(name);
    const auto gradients = Golden::find(name + "_grads");
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(name, model);
    FarDraws draws;
    draws.levels = {6, 6};
    draws.keep = {0, 1};  // draws 0.05 and 0.5 against the drop rate 0.1
    const std::vector<Index> steps = golden->integers("train.diff_t");
    draws.steps.assign(steps.begin(), steps.end());
    if (masked) {
        draws.mask.emplace(golden->integers("orders"), 256, 159);  // ceil(0.62 · 256)
        golden->close("mask", {{2, 256}, {draws.mask->flags().begin(), draws.mask->flags().end()}}, 0.0);
    }
    FarLossOptions options;
    options.multiplier = 2;
    options.run = {};
    const auto latents = filled<Model::Latents>("far.latent", {2, 16, 16, 16}, 0.0, 1.5);
    const auto noise = filled<Model::Head::Rows>("far.train.3", {1024, 16});
    const std::vector<Index> labels = golden->integers("labels");
    const auto loss = far_loss(model, latents, labels, draws, noise, options);
    golden->close("train.z", loss.z, 1e-5);
    golden->close("train.loss", loss.total, 1e-5);
    if (!gradients) {
        return;
    }
    backward(loss.total);
    for_each_parameter(model, [&](const auto& p) {
        CAPTURE(p.name);
        if (!masked && p.name == "mask_token") {
            CHECK(!p.gradient().defined());
            return;
        }
        REQUIRE(p.gradient().defined());
        gradients->close("grad." + p.name, host<Tested>(p.gradient()), 2e-5);
    });
}

}  // namespace

TEST_CASE("training loss and gradients without a mask") {
    check("far_tiny_nomask", false);
}
TEST_CASE("training loss and gradients with hidden tokens") {
    check("far_tiny_mask", true);
}
