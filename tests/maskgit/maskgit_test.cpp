/// MaskGiT: sizes, training, sampling that does not depend on the batch, files, bad input.

#include "flowfar/checkpoints/maskgit.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/flowmo.hpp"
#include "flowfar/flowmo.hpp"

#include "temp_dir.hpp"

namespace {

using namespace flowfar;
using Model = MaskGit<MaskGitNano, Cpu>;

/// FlowMoNano's tokens with finite scalar quantization of 3 × 2 codewords.
struct OfLevels : MaskGitNano {
    static constexpr std::string_view name = "OfLevels";
    static constexpr Index tokens = 3;
    using Codebook = flowfar::Codebook<5, 3>;
    static constexpr MaskGitSampling sampling{.steps = 4};
};

template <class Lo, class Git>
constexpr bool fits = Lo::code_length == Git::tokens && CheckedFlowMoConfig<Lo>::codewords_per_token == Git::groups &&
                      CheckedFlowMoConfig<Lo>::Quantizer::Codebook::size == Git::Codebook::size;
static_assert(fits<FlowMoLo, MaskGit172M> && fits<FlowMoLo, MaskGit306M> && fits<FlowMoHi, MaskGit372M>);
static_assert(fits<FlowMoTiny, MaskGitTiny> && fits<FlowMoNano, MaskGitNano>);

/// Tokens whose every codeword is the sample's label.
Tokens of_labels(const std::vector<Index>& labels) {
    Tokens out{static_cast<Index>(labels.size()), 8, 2, 9, {}};
    for (const Index label : labels) {
        out.indices.insert(out.indices.end(), 16, static_cast<std::uint32_t>(37 * label));
    }
    return out;
}

TEST_CASE("the published sizes") {
    CHECK(parameter_count(MaskGit<MaskGit172M, Cpu>()) / 1000000 == 172);
    CHECK((parameter_count(MaskGit<MaskGit306M, Cpu>()) + 50000) / 100000 == 3057);
    CHECK((parameter_count(MaskGit<MaskGit372M, Cpu>()) + 50000) / 100000 == 3719);
}

TEST_CASE("training learns what belongs to a class; a sample does not depend on its batch") {
    MaskGitTrainOptions options;
    options.adam.learning_rate = 3e-3;
    options.loss.run = {};
    options.ema_decay = 0.9;
    MaskGitTrainer<MaskGitNano, Cpu> trainer(options, [](auto& model) { model.initialize(1); });
    const std::vector<Index> labels = {0, 1, 2, 3, 4, 5, 6, 7};
    const Tokens tokens = of_labels(labels);
    const double first = trainer.step(tokens, labels).loss;
    CHECK(first == doctest::Approx(std::log(512.0)).epsilon(0.05));
    double last = first;
    for (int i = 0; i < 150; ++i) {
        last = trainer.step(tokens, labels).loss;
    }
    CHECK(last < 0.35 * first);
    const auto model = trainer.averaged_model();
    const Tokens made = model.generate({3, 5, 6}, {.temperature = 0.2, .seed = 2});
    CHECK(made == of_labels({3, 5, 6}));

    const Tokens alone = model.generate({5}, {.guidance = 1.0, .temperature = 30.0, .seed = 2, .first_sample = 1});
    const Tokens among = model.generate({3, 5, 6}, {.guidance = 1.0, .temperature = 30.0, .seed = 2});
    CHECK(std::equal(alone.indices.begin(), alone.indices.end(), among.indices.begin() + 16));
    CHECK(alone.indices != model.generate({5}, {.guidance = 1.0, .temperature = 30.0, .seed = 3}).indices);
}

TEST_CASE("recomputed blocks have the gradients of remembered ones, dropout included") {
    const auto gradient_norm = [](bool checkpoint_blocks) {
        MaskGitTrainOptions options;
        options.loss.run = {{0.2, 0.2, 0}, checkpoint_blocks};
        MaskGitTrainer<MaskGitNano, Cpu> trainer(options, [](auto& model) { model.initialize(1); });
        return trainer.step(of_labels({0, 1}), std::vector<Index>{0, 1}).gradient_norm;
    };
    CHECK(gradient_norm(true) == doctest::Approx(gradient_norm(false)).epsilon(1e-6));
}

TEST_CASE("codewords of mixed radix, as many steps as positions") {
    const auto model = MaskGit<OfLevels, Cpu>::random(1);
    for (const int steps : {1, 6}) {
        int hidden = 6;
        const Tokens made = model.generate({1, no_class}, {.steps = steps}, [&](const MaskGitStep& step) {
            int left = 0;
            for (std::size_t i = 0; i < 6; ++i) {
                left += step.hidden[i];
            }
            CHECK(left < hidden + (hidden == 1 ? 1 : 0));
            hidden = left;
            return true;
        });
        CHECK(hidden == 0);
        CHECK_NOTHROW(MaskGit<OfLevels, Cpu>::check(made));
    }
}

TEST_CASE("guidance grows as its schedule says") {
    CHECK(guidance_at(MaskGitGuidance::constant, 3.0, 1.0, 0, 4) == 3.0);
    CHECK(guidance_at(MaskGitGuidance::linear, 3.0, 1.0, 2, 4) == 2.0);
    CHECK(guidance_at(MaskGitGuidance::cosine, 3.0, 1.0, 2, 4) == doctest::Approx(2.0));
    CHECK(guidance_at(MaskGitGuidance::cosine, 3.0, 2.0, 2, 4) == doctest::Approx(2.0 - std::cos(cx::pi / 4.0)));
}

TEST_CASE("what cannot be sampled or trained on is named") {
    const auto model = Model::random(1);
    const auto generate = [&](const std::vector<Index>& labels, const MaskGitSampleOptions& options) {
        static_cast<void>(model.generate(labels, options));
    };
    CHECK_THROWS_WITH_AS(generate({1}, {.steps = 17}),
                         "MaskGitNano: 17 sampling steps, expected 1 to 16, the number of codewords: every step fills "
                         "one or more",
                         Error);
    CHECK_THROWS_WITH_AS(generate({10}, {}), "MaskGitNano: label 10, expected 0 to 9 or -1 for no class", Error);
    CHECK_THROWS_WITH_AS(generate({}, {}), "MaskGitNano: no labels", Error);
    CHECK_THROWS_AS(generate({1}, {.temperature = 0.0}), Error);
    CHECK_THROWS_AS(generate({1}, {.choice_temperature = -1.0}), Error);
    CHECK_THROWS_AS(generate({1}, {.guidance_power = 0.0}), Error);

    MaskGitTrainer<MaskGitNano, Cpu> trainer({}, [](auto& m) { m.initialize(1); });
    const std::vector<Index> labels = {1};
    Tokens tokens = of_labels(labels);
    CHECK_THROWS_WITH_AS(trainer.step(tokens, std::vector<Index>{11}),
                         "MaskGitNano: label 11, expected 0 to 9 or -1 for no class", Error);
    tokens.bits = 8;
    CHECK_THROWS_WITH_AS(trainer.step(tokens, labels), "MaskGitNano: expected indices of 9 bits, found 8", Error);
    tokens = of_labels(labels);
    tokens.indices[5] = 512;
    CHECK_THROWS_WITH_AS(trainer.step(tokens, labels), "tokens: index 512 does not fit into 9 bits", Error);
    tokens.length = 16;
    tokens.per_token = 1;
    CHECK_THROWS_WITH_AS(trainer.step(tokens, labels), "MaskGitNano: expected 8 tokens of 2 codewords, found 16 of 1",
                         Error);
    CHECK(trainer.step_count() == 0);
}

TEST_CASE("files: there and back, another configuration's, another model's") {
    const testing::TempDir dir;
    const auto path = dir / "model.safetensors";
    const auto model = MaskGit<OfLevels, Cpu>::random(1);
    save(model, path);
    const auto again = load<MaskGit<OfLevels, Cpu>>(path);
    CHECK(again.generate({1}, {.seed = 4}) == model.generate({1}, {.seed = 4}));
    CHECK_THROWS_WITH_AS(
        static_cast<void>(load<Model>(path)),
        (path.string() + ": this model is no preset (1 blocks of width 32, 3 tokens of 4 values, 30 scores each, 10 "
                         "classes), but MaskGitNano was expected (1 blocks of width 32, 8 tokens of 18 values, 1024 "
                         "scores each, 10 classes); derive a configuration with these sizes")
            .c_str(),
        Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(load<FlowMo<FlowMoNano, Cpu>>(path)),
                         (path.string() + ": this is a MaskGiT file, FlowMo expected").c_str(), Error);
}

}  // namespace
