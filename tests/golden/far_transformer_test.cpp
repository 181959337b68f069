/// FAR's transformer with and without hidden tokens against the reference.

#include <doctest/doctest.h>

#include "flowfar/far/model.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "golden_far.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Model = Far<FarTinyGolden, Tested>;

}  // namespace

TEST_CASE("encoder and decoder without a mask") {
    const auto golden = Golden::find("far_tiny_nomask");
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters("far_tiny_nomask", model);
    const auto latent = filled<Model::Latents>("far.latent", {2, 16, 16, 16}, 0.0, 1.5);
    const auto x = Model::patchify(SpatialFilter::apply(latent, 6));
    golden->close("x_tokens", x, 5e-6);
    const std::vector<Index> labels = golden->integers("labels");
    const auto encoded = model.encode(model.embed_classes(model.class_vectors(labels)), x, nullptr);
    golden->close("eval.encoder_out", encoded, 1e-5);
    golden->close("eval.z", model.decode(encoded, nullptr), 1e-5);
    golden->close("latent", Model::unpatchify(Model::patchify(latent)), 0.0);
}

TEST_CASE("encoder and decoder with hidden tokens") {
    const auto golden = Golden::find("far_tiny_mask");
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters("far_tiny_mask", model);
    const auto x = golden->tensor<Model::Tokens>("x_tokens");
    const std::vector<Index> labels = golden->integers("labels");
    const TokenMask mask(golden->integers("orders"), 256, 159);  // ceil(0.62 · 256)
    golden->close("mask", {{2, 256}, {mask.flags().begin(), mask.flags().end()}}, 0.0);
    const auto encoded = model.encode(model.embed_classes(model.class_vectors(labels)), x, &mask);
    golden->close("eval.encoder_out", encoded, 1e-5);
    golden->close("eval.z", model.decode(encoded, &mask), 1e-5);
}
