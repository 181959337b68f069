/// MaskGiT's training loss, all gradients, and three sampling runs, step by step.

#include <doctest/doctest.h>

#include "flowfar/maskgit/loss.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "recordings.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

template <class C>
Tokens recorded_tokens(const std::vector<Index>& indices) {
    Tokens out{static_cast<Index>(indices.size()) / CheckedMaskGitConfig<C>::positions,
               C::tokens,
               C::groups,
               C::Codebook::bits,
               {}};
    out.indices.assign(indices.begin(), indices.end());
    return out;
}

template <class C>
void check_training(const std::string& name, const std::string& parameters) {
    using Model = MaskGit<C, Autodiff<Tested>>;
    const auto gradients = Golden::find(name + "_grads");
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(parameters, model);
    const Tokens tokens = recorded_tokens<C>(golden->integers("indices"));
    const std::vector<std::uint8_t> all_known(tokens.indices.size(), 0);
    golden->close("code", Model::inputs(tokens, all_known), 0.0);

    const std::vector<Index> labels = golden->integers("labels");
    const std::vector<Index> orders = golden->integers("orders");
    const std::vector<double> ratios = golden->doubles("train.ratio_draw");
    MaskGitLossDraws draws;
    std::vector<Index> counts;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        draws.keep.push_back(golden->numbers("drop")[i] < golden->number("label_drop") ? 0 : 1);
        counts.push_back(hidden_in_training(Model::positions, ratios[i]));
        const auto begin = orders.begin() + static_cast<Index>(i) * Model::positions;
        draws.hidden.emplace_back(begin, begin + counts.back());
    }
    golden->equal("train.masked_count", counts);
    const std::vector<std::uint8_t> flags = draws.flags(Model::positions);
    const Extents positions = golden->extents("train.mask");
    golden->close("train.mask", {positions, {flags.begin(), flags.end()}}, 0.0);
    golden->close("train.bits", Model::inputs(tokens, flags), 0.0);

    MaskGitLossOptions options;
    options.smoothing = golden->number("smoothing");
    options.run = {};
    const auto loss = maskgit_loss(model, tokens, labels, draws, options);
    golden->close("train.logits", loss.logits, 1e-5);
    golden->close("train.loss", loss.total, 1e-5);
    const std::vector<Index> targets(tokens.indices.begin(), tokens.indices.end());
    const auto rows = smoothed_cross_entropy(
        reshape<dyn, Model::codewords>(loss.logits, tokens.batch * Model::positions), targets, options.smoothing);
    golden->close("train.rows", {positions, host(rows).values}, 1e-5);
    if (!gradients) {
        return;
    }
    backward(loss.total);
    for_each_parameter(model, [&](const auto& p) {
        CAPTURE(p.name);
        REQUIRE(p.gradient().defined());
        gradients->close("grad." + p.name, host<Tested>(p.gradient()), 2e-4);
    });
}

/// The recorded draws: two a step.
struct RecordedUniforms {
    std::string prefix;
    std::size_t count;

    [[nodiscard]] std::vector<double> codewords(int step) const { return draw(2 * step); }
    [[nodiscard]] std::vector<double> choices(int step) const { return draw(2 * step + 1); }

   private:
    [[nodiscard]] std::vector<double> draw(int number) const {
        const auto values = fill(text(prefix, ".", number), count, 0.5, 0.5);
        return {values.begin(), values.end()};
    }
};

template <class C>
void check_sampling(const std::string& name, const std::string& parameters) {
    using Model = MaskGit<C, Tested>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(parameters, model);
    const std::vector<Index> labels = golden->integers("labels");
    const std::size_t count = labels.size() * static_cast<std::size_t>(Model::positions);
    const std::size_t scores = count * static_cast<std::size_t>(Model::codewords);
    const std::vector<MaskGitSampleOptions> runs = {{.steps = 6,
                                                     .guidance = 3.0,
                                                     .guidance_schedule = MaskGitGuidance::linear,
                                                     .temperature = 1.0,
                                                     .choice_temperature = 4.5},
                                                    {.steps = 5,
                                                     .guidance = 5.0,
                                                     .guidance_schedule = MaskGitGuidance::cosine,
                                                     .guidance_power = 2.5,
                                                     .temperature = 0.8,
                                                     .choice_temperature = 2.0},
                                                    {.steps = 8,
                                                     .guidance = 1.0,
                                                     .guidance_schedule = MaskGitGuidance::constant,
                                                     .temperature = 1.0,
                                                     .choice_temperature = 1.0}};
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const std::string run = text("run", i, ".");
        CAPTURE(run);
        const auto logits = golden->doubles(run + "logits");
        const auto confidence = golden->doubles(run + "confidence");
        const auto indices = golden->integers(run + "indices_after");
        const auto masks = golden->integers(run + "mask_after");
        int steps = 0;
        const auto callback = [&](const MaskGitStep& step) {
            const int k = step.step - 1;
            CAPTURE(k);
            ++steps;
            std::vector<double> guided(step.logits.begin(), step.logits.begin() + static_cast<Index>(scores));
            for (std::size_t at = 0; step.logits.size() > scores && at < scores; ++at) {
                const auto without = static_cast<double>(step.logits[scores + at]);
                guided[at] = without + step.guidance * (guided[at] - without);
            }
            check_error(run + "logits", relative_l2(guided, at_step(logits, k, scores)), 1e-5);
            std::vector<double> bounded(step.confidence.begin(), step.confidence.end());
            auto want = at_step(confidence, k, count);
            for (std::size_t at = 0; at < count; ++at) {  // known ones are recorded as 1e30
                CHECK((want[at] > 1e29) == std::isinf(bounded[at]));
                bounded[at] = want[at] > 1e29 ? 0.0 : bounded[at];
                want[at] = want[at] > 1e29 ? 0.0 : want[at];
            }
            check_error(run + "confidence", relative_l2(bounded, want), 1e-5);
            CHECK(std::vector<Index>(step.tokens.indices.begin(), step.tokens.indices.end()) ==
                  at_step(indices, k, count));
            CHECK(std::vector<Index>(step.hidden.begin(), step.hidden.end()) == at_step(masks, k, count));
            return true;
        };
        const MaskGitSampler<Model> sampler(model, runs[i]);
        const Tokens final = sampler.run(labels, RecordedUniforms{text("maskgit.sample", i), count}, callback);
        golden->equal(run + "final", {final.indices.begin(), final.indices.end()});
        CHECK(steps == runs[i].steps);
    }
}

}  // namespace

TEST_CASE("MaskGiT: training loss and gradients") {
    MaskGits::each([]<class R>() { check_training<typename R::Config>(R::name, R::parameters); });
}

TEST_CASE("MaskGiT: sampling, step by step") {
    MaskGits::each([]<class R>() { check_sampling<typename R::Config>(R::name, R::parameters); });
}
