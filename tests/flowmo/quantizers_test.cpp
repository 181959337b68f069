/// FlowMo with each quantizer: its encoder's width, a training step, tokens there and back.

#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/codes/token_file.hpp"
#include "flowfar/checkpoints/flowmo.hpp"
#include "flowfar/flowmo/code_tokenizer.hpp"
#include "flowfar/flowmo/train.hpp"
#include "flowfar/quantize/bsq.hpp"
#include "flowfar/quantize/kl.hpp"

#include "temp_dir.hpp"

namespace {

using namespace flowfar;

template <class Q, Index Values>
struct NanoOf : FlowMoNano {
    static constexpr std::string_view name = "NanoOf";
    static constexpr Index code_length = 4;
    static constexpr Index context_dim = Values;
    using Quantizer = Q;
};
using NanoFsq = NanoOf<Fsq<5, 3>, 4>;
using NanoKl = NanoOf<Kl, 3>;

template <class C>
std::vector<float> trained_with(const QuantizerWeights& weights = {}) {
    using Model = FlowMo<C, Cpu>;
    FlowMoTrainOptions options;
    options.quantizer = weights;
    FlowMoTrainer<C, Cpu> trainer(options, [](auto& model) { model.initialize(1); });
    const auto images = Model::Images::normal({2, 3, 16, 16}, 3);
    const FlowMoTrainReport report = trainer.step(images);
    CHECK(std::isfinite(report.loss));
    CHECK(report.loss == doctest::Approx(report.flow + report.quantizer));
    CHECK(report.gradient_norm > 0.0);
    return trainer.averaged_model().encode_code(images).to_host();
}

template <class C>
void check_tokens() {
    using Model = FlowMo<C, Cpu>;
    const auto model = Model::random(1);
    const auto images = Model::Images::normal({2, 3, 16, 16}, 4);
    const Tokens tokens = model.encode(images);
    CHECK(tokens.per_token == Model::Config::codewords_per_token);
    CHECK(Model::code_of(tokens).to_host() == model.encode_code(images).to_host());
    const io::TokenFile again =
        io::unpack_tokens(io::pack_tokens({tokens, 16, 16, io::configuration_hash<C>()}), "packed");
    CHECK(again.tokens == tokens);
    CHECK(model.decode(tokens, {.steps = 2}).to_host() ==
          model.decode_code(model.encode_code(images), {.steps = 2}).to_host());
    FlowMoTokenizer<C, Cpu> tokenizer(std::make_shared<const Model>(model), {.steps = 2});
    tokenizer.set_scale(3.0);
    CHECK(tokenizer.decode(tokenizer.draw(tokenizer.statistics(images), 0)).to_host() ==
          model.decode(tokens, {.steps = 2}).to_host());
}

TEST_CASE("FlowMo trains with every quantizer") {
    trained_with<NanoFsq>();
    trained_with<NanoOf<Bsq<3>, 6>>();
    trained_with<NanoOf<Unquantized, 3>>();
    const auto light = trained_with<NanoKl>();
    CHECK(light.size() == 2 * 4 * 3);
    CHECK(trained_with<NanoKl>({.kl = 1.0}) != light);
}

TEST_CASE("tokens of every discrete quantizer") {
    check_tokens<NanoFsq>();
    check_tokens<NanoOf<Bsq<3>, 6>>();
    CHECK(io::configuration_hash<NanoOf<Lfq<3>, 6>>() != io::configuration_hash<NanoOf<Bsq<3>, 6>>());

    Tokens tokens{1, 4, 2, 4, std::vector<std::uint32_t>(8, 14)};
    static_cast<void>(FlowMo<NanoFsq, Cpu>::code_of(tokens));
    tokens.indices[3] = 15;  // fits into 4 bits, but there are 15 codewords
    CHECK_THROWS_WITH_AS(static_cast<void>(FlowMo<NanoFsq, Cpu>::code_of(tokens)),
                         "NanoOf: index 3 is 15, expected 0 to 14", Error);
}

TEST_CASE("the encoder gives means and log-variances of KL codes; inference takes the mean unless asked") {
    const auto model = FlowMo<NanoKl, Cpu>::random(1);
    static_assert(decltype(model.encoder.txt_in.weight)::Shape::at(1) == 6);
    static_assert(decltype(model.decoder.txt_in.weight)::Shape::at(1) == 4);
    const auto images = FlowMo<NanoKl, Cpu>::Images::normal({1, 3, 16, 16}, 4);
    const auto mean = model.encode_code(images).to_host();
    CHECK(mean == model.encode_code(images).to_host());
    CHECK(mean != model.encode_code(images, 1).to_host());
}

TEST_CASE("a file of another quantizer's model is refused") {
    const testing::TempDir dir;
    const auto path = dir / "model.safetensors";
    save(FlowMo<NanoOf<Bsq<3>, 6>, Cpu>::random(1), path);
    CHECK_NOTHROW(static_cast<void>(load<FlowMo<NanoOf<Bsq<3>, 6>, Cpu>>(path)));
    CHECK_THROWS_WITH_AS(static_cast<void>(load<FlowMo<NanoOf<Lfq<3>, 6>, Cpu>>(path)),
                         (path.string() + ": this model's quantizer is bsq 3, but that of NanoOf is lfq 3").c_str(),
                         Error);
}

}  // namespace
