/// FAR from text: encoder and decoder under a context, the training loss and all gradients, against the reference.

#include <algorithm>
#include <doctest/doctest.h>

#include "flowfar/far/text/loss.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "golden_text.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

/// The first of every `step` entries of the axis whose entries are `size` elements long.
HostTensor every(const HostTensor& x, std::size_t step, std::size_t size) {
    HostTensor out{x.extents, {}};
    const int axis = x.extents.rank() - (size == 1 ? 1 : 2);
    const auto length = static_cast<std::size_t>(x.extents[axis]);
    out.extents[axis] = static_cast<Index>((length + step - 1) / step);
    for (std::size_t i = 0; i < x.values.size(); ++i) {
        if (i / size % length % step == 0) {
            out.values.push_back(x.values[i]);
        }
    }
    return out;
}

/// z of the recorded tokens, and the parts on the way.
template <class C>
void check_conditions(const std::string& name, Index hidden_tokens) {
    using Model = FarText<C, Tested>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(name, model);
    const auto context = filled<typename Model::Context>("t2i.context", {2, C::context_tokens, C::context_width});
    const auto embedded = model.embed(context);
    golden->close("context_embedding_every10", every(host(embedded), 10, static_cast<std::size_t>(C::hidden)), 1e-5);
    const auto x = golden->tensor<typename Model::Tokens>("x_tokens");
    const TokenMask mask(golden->integers("orders"), Model::tokens, hidden_tokens);
    golden->close("mask", {{2, Model::tokens}, {mask.flags().begin(), mask.flags().end()}}, 0.0);
    const auto keys = model.keys_of(embedded);
    const auto encoded = model.encode(keys.encoder, x, &mask);
    golden->close("eval.encoder_out", encoded, 1e-5);
    golden->close("eval.z", model.decode(encoded, keys.decoder, &mask), 1e-5);
}

}  // namespace

TEST_CASE("conditions of hidden and visible tokens under a context") {
    check_conditions<FarTextGolden>("far_t2i_tiny", 47);  // ceil(0.73 · 64)
}
TEST_CASE("conditions where encoder and decoder differ in width") {
    check_conditions<FarTextGoldenB>("far_t2i_tiny_b", 12);  // ceil(0.73 · 16)
}

TEST_CASE("training loss with prompts dropped in the encoder only, as released, and everywhere; gradients") {
    using Model = FarText<FarTextGolden, Autodiff<Tested>>;
    const auto golden = Golden::find("far_t2i_tiny");
    const auto gradients = Golden::find("far_t2i_tiny_grads");
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters("far_t2i_tiny", model);
    FarDraws draws;
    draws.levels = {3, 0};
    draws.keep = {0, 1};  // draws 0.05 and 0.5 against the drop rate 0.1
    for (const float u : fill("t2i.train.3", 256, 0.5, 0.5)) {
        draws.steps.push_back(static_cast<Index>(static_cast<double>(u) * 1000.0));
    }
    draws.mask.emplace(golden->integers("orders"), 64, 47);
    FarLossOptions options;
    options.multiplier = 2;
    options.run = {};
    const auto latents = filled<Model::Latents>("t2i.latent", {2, 16, 8, 8}, 0.0, 1.5);
    const auto context = filled<Model::Context>("t2i.context", {2, 300, 1536});
    const auto noise = filled<Model::Head::Rows>("t2i.train.4", {256, 16});
    const auto everywhere = far_text_loss(model, latents, context, draws, noise, options);
    check_error("loss with prompts dropped everywhere",
                relative_l2(host(everywhere.total).values, std::vector{2.2517047}), 5e-5);
    options.prompt_drop = PromptDrop::encoder_only;
    const auto loss = far_text_loss(model, latents, context, draws, noise, options);
    golden->close("train.loss", loss.total, 5e-5);
    if (!gradients) {
        return;
    }
    backward(loss.total);
    for_each_parameter(model, [&](const auto& p) {
        CAPTURE(p.name);
        REQUIRE(p.gradient().defined());
        const HostTensor got = host<Tested>(p.gradient());
        if (p.name.ends_with("to_k.bias")) {  // 0, since a softmax ignores what all logits have in common
            CHECK(std::ranges::all_of(got.values, [](double value) { return std::abs(value) < 1e-6; }));
            return;
        }
        if (p.name == "fake_latent") {  // the longest ones are recorded in part
            gradients->close("grad.fake_latent.every4rows", every(got, 4, 64), 2e-4);
        } else if (p.name == "context_embed.weight") {
            gradients->close("grad.context_embed.weight.every8cols", every(got, 8, 1), 2e-4);
        } else {
            gradients->close("grad." + p.name, got, 2e-4);
        }
    });
}
