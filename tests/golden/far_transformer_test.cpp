/// FAR's transformer with and without hidden tokens against the reference.

#include <doctest/doctest.h>
#include <optional>

#include "flowfar/far/model.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "recordings.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

template <class C>
void check(const std::string& name, const std::string& parameters) {
    using Model = Far<C, Tested>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(parameters, model);
    const std::vector<Index> labels = golden->integers("labels");
    const auto batch = static_cast<Index>(labels.size());
    const auto latent = filled<typename Model::Latents>("far.latent", golden->extents("latent"), 0.0, 1.5);
    golden->close("latent", Model::unpatchify(Model::patchify(latent)), 0.0);
    const auto core = static_cast<Index>(golden->number("core"));
    const auto x = Model::patchify(SpatialFilter::apply(latent, core));
    golden->close("x_tokens", x, 5e-6);
    std::optional<TokenMask> mask;
    if (C::masked) {
        mask.emplace(golden->integers("orders"), Model::tokens, recorded_hidden(*golden, Model::tokens));
        golden->close("mask", {{batch, Model::tokens}, {mask->flags().begin(), mask->flags().end()}}, 0.0);
    }
    const TokenMask* const hidden = mask ? &*mask : nullptr;
    const auto seen = golden->template tensor<typename Model::Tokens>("x_tokens");
    const auto encoded = model.encode(model.embed_classes(model.class_vectors(labels)), seen, hidden);
    golden->close("eval.encoder_out", encoded, 1e-5);
    golden->close("eval.z", model.decode(encoded, hidden), 1e-5);
}

}  // namespace

TEST_CASE("encoder and decoder, with and without hidden tokens") {
    FarTransformers::each([]<class R>() { check<typename R::Config>(R::name, R::parameters); });
}
TEST_CASE("encoder and decoder of different widths, latents that are no squares") {
    FarTransformersAlone::each([]<class R>() { check<typename R::Config>(R::name, R::parameters); });
}
