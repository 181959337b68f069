/// From text to latents against the reference: prompts become contexts, contexts become latents, step by step.

#include <algorithm>
#include <doctest/doctest.h>
#include <span>

#include "flowfar/far/text/model.hpp"
#include "flowfar/qwen2/model.hpp"
#include "flowfar/qwen2/prefix.hpp"
#include "flowfar/text/load_tokenizer.hpp"
#include "flowfar/text/prompts.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "golden_qwen2.hpp"
#include "golden_sampling.hpp"
#include "golden_text.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

template <class C>
void check_sampling(const Golden& golden, const FarText<C, Tested>& model,
                    const typename FarText<C, Tested>::Context& context, const std::string& draws, double guidance) {
    FarSampleOptions options;
    options.steps = DiffusionSteps::spaced("ddim10");
    options.guidance = guidance;
    const auto latents = check_sampling_steps(golden, model, options, context, draws, 2e-4);
    golden.close("sample.vae_input", affine(latents, 1.0 / 0.2325, 0.0), 2e-4);
}

template <class C>
void check_filled(const std::string& name, double guidance) {
    using Model = FarText<C, Tested>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(name, model);
    const auto context = filled<typename Model::Context>("t2i.context", {2, C::context_tokens, C::context_width});
    check_sampling<C>(*golden, model, context, "t2i.sample.", guidance);
}

/// The recorded prompts as rows of tokens, checked against the recorded ids.
TokenRows recorded_rows(const Golden& golden, const std::string& prefix, PaddingSide side) {
    const auto folder = Golden::find_path("qwen2_tokenizer_2000");
    REQUIRE(folder.has_value());
    const BpeTokenizer tokenizer = load_tokenizer(*folder);
    const std::vector<std::string> prompts = golden.names("config", "prompts");
    TokenRows rows = prompt_rows(tokenizer, prompts, {tokenizer.encode("Describe the picture in detail:\n"), 24, side});
    golden.equal(prefix + "ids", rows.ids);
    golden.equal(prefix + "mask", rows.mask);
    return rows;
}

}  // namespace

TEST_CASE("sampling from contexts, step by step") {
    check_filled<FarTextGolden>("far_t2i_tiny", 3.0);
    check_filled<FarTextGoldenB>("far_t2i_tiny_b", 2.0);
}

TEST_CASE("prompts to contexts, padded on either side") {
    using Model = Qwen2<Qwen2PromptGolden, Tested>;
    const auto golden = Golden::find("t2i_prompt_tiny");
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters("t2i_prompt_tiny", model);
    for (const PaddingSide side : {PaddingSide::left, PaddingSide::right}) {
        const std::string name = side == PaddingSide::left ? "left." : "right.";
        const TokenRows rows = recorded_rows(*golden, name, side);
        golden->close(name + "context", slice<1>(model(rows.ids, rows.rows, rows.mask), 12, 36), 1e-5);
        // Row by row, with the instruction and the padding before a prompt read once.
        const auto row = [&](const std::vector<Index>& all, Index i) {
            return std::span(all).subspan(static_cast<std::size_t>(36 * i), 36);
        };
        const Index padding = rows.ids[static_cast<std::size_t>(std::ranges::find(rows.mask, 0) - rows.mask.begin())];
        const Qwen2Prefix<Model> reader(model, row(rows.ids, 0).first(12), 24, padding);
        const auto contexts = golden->doubles(name + "context");
        const auto size = static_cast<Index>(contexts.size()) / rows.rows;
        for (Index i = 0; i < rows.rows; ++i) {
            const auto begin = contexts.begin() + size * i;
            check_error(text(name, "context of prompt ", i),
                        relative_l2(host(reader(row(rows.ids, i), row(rows.mask, i))).values,
                                    std::vector<double>(begin, begin + size)),
                        1e-5);
        }
        std::vector<Index> ids(rows.ids.begin(), rows.ids.begin() + 12);
        std::vector<Index> mask(12, 1);
        ids.resize(36, padding);
        mask.resize(36, 0);
        check_error("context of an empty prompt",
                    relative_l2(host(reader(ids, mask)).values,
                                host(Model::Sequence(slice<1>(model(ids, 1, mask), 12, 36))).values),
                    1e-5);
        CHECK_THROWS_AS(static_cast<void>(reader(std::span(ids).first(35), mask)), Error);
        mask[3] = 0;
        CHECK_THROWS_WITH_AS(static_cast<void>(reader(ids, mask)),
                             "Qwen2PromptGolden: the mask hides token 3 of the prefix, expected none", Error);
    }
}

TEST_CASE("prompts to latents") {
    using Text = Qwen2<Qwen2ChainGolden, Tested>;
    using Model = FarText<FarTextGoldenB, Tested>;
    const auto golden = Golden::find("t2i_chain_tiny");
    if (!golden) {
        return;
    }
    Text language;
    golden_parameters("t2i_chain_tiny.text", language);
    Model model;
    golden_parameters("t2i_chain_tiny", model);
    const TokenRows rows = recorded_rows(*golden, "", PaddingSide::right);
    const auto context = Model::context(language(rows.ids, rows.rows, rows.mask));
    golden->close("context", context, 1e-5);
    check_sampling<FarTextGoldenB>(*golden, model, context, "t2i_chain.sample.", 2.0);
}
