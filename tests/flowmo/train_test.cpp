#include "flowfar/flowmo/train.hpp"

#include <doctest/doctest.h>

#include "flowfar/backend/cpu/cpu.hpp"

#include "approx.hpp"

namespace {

using namespace flowfar;
using Trainer = FlowMoTrainer<FlowMoNano, Cpu>;
using Images = Trainer::Images;

const auto fresh = [](auto& model) { model.initialize(5); };

Images batch(Index count) {
    return clamp(Images::normal({count, 3, FlowMoNano::image_height, FlowMoNano::image_width}, 8) * 0.5, -1.0, 1.0);
}

TEST_CASE("training lowers the loss on one batch") {
    FlowMoTrainOptions options;
    options.adam.learning_rate = 3e-3;
    Trainer trainer(options, fresh);
    const Images images = batch(8);
    double first = 0.0;
    double last = 0.0;
    for (int step = 0; step < 60; ++step) {
        const FlowMoTrainReport report = trainer.step(images);
        (step < 10 ? first : last) += step < 10 || step >= 50 ? report.flow / 10 : 0.0;
    }
    CHECK(last < 0.9 * first);
    CHECK(trainer.step_count() == 60);
}

TEST_CASE("recomputing blocks changes neither loss nor gradients") {
    FlowMoTrainOptions plain;
    FlowMoTrainOptions recomputed;
    recomputed.checkpoint_blocks = true;
    Trainer a(plain, fresh);
    Trainer b(recomputed, fresh);
    const Images images = batch(2);
    CHECK(a.accumulate(images).loss == b.accumulate(images).loss);
    const auto pa = parameters(a.model());
    const auto pb = parameters(b.model());
    int with_gradient = 0;
    for (std::size_t i = 0; i < pa.size(); ++i) {
        const Handle ga = pa[i].gradient();
        const Handle gb = pb[i].gradient();
        REQUIRE(ga.defined() == gb.defined());
        if (ga.defined()) {
            ++with_gradient;
            const Handle difference = Cpu::binary(BinaryOp::sub, ga, gb);
            CHECK_MESSAGE(l2_norm<Cpu>(difference) <= 1e-6 * (l2_norm<Cpu>(ga) + 1e-12), pa[i].name);
        }
    }
    CHECK(with_gradient > 20);
}

TEST_CASE("accumulation averages its chunks") {
    FlowMoTrainOptions options;
    options.accumulation = 2;
    Trainer trainer(options, fresh);
    const FlowMoTrainReport report = trainer.accumulate(batch(4));
    CHECK(report.loss == doctest::Approx(report.flow + report.quantizer).epsilon(1e-5));
    CHECK_THROWS_WITH_AS(static_cast<void>(trainer.accumulate(batch(3))), doctest::Contains("2 chunks"), Error);
}

TEST_CASE("a frozen encoder stays as it is while the decoder learns") {
    FlowMoTrainOptions options;
    options.freeze_encoder_after = 1;
    options.fixed_norms = false;
    Trainer trainer(options, fresh);
    const Images images = batch(2);
    trainer.step(images);
    const auto encoder = trainer.model().encoder.img_in.weight.to_host();
    const auto decoder = trainer.model().decoder.img_in.weight.to_host();
    const FlowMoTrainReport report = trainer.step(images);
    CHECK(trainer.encoder_frozen());
    CHECK(trainer.model().encoder.img_in.weight.to_host() == encoder);
    CHECK(trainer.model().decoder.img_in.weight.to_host() != decoder);
    CHECK(report.quantizer != 0.0);  // reported all the same
    CHECK(report.loss == doctest::Approx(report.flow).epsilon(1e-6));
}

TEST_CASE("block weights keep their norms, and the average lags behind the weights") {
    FlowMoTrainOptions options;
    options.adam.learning_rate = 1e-2;
    options.ema_every = 1;
    options.ema_decay = 0.5;
    options.ema_start = EmaStart::published;
    Trainer trainer(options, fresh);
    const auto& qkv = trainer.model().encoder.double_blocks[0].code.attn.qkv.weight;
    const double norm = l2_norm<Cpu>(qkv.handle().value);
    const auto start = qkv.to_host();
    trainer.step(batch(2));
    CHECK(qkv.to_host() != start);
    CHECK(l2_norm<Cpu>(qkv.handle().value) == doctest::Approx(norm).epsilon(1e-6));
    const auto averaged = trainer.averaged_model();
    const auto middle = averaged.encoder.double_blocks[0].code.attn.qkv.weight.to_host();
    for (std::size_t i = 0; i < 5; ++i) {
        CHECK(middle[i] == doctest::Approx(0.5F * (start[i] + qkv.to_host()[i])).epsilon(1e-4));
    }
}

TEST_CASE("a gradient that is not finite is an error and leaves nothing behind") {
    FlowMoTrainOptions options;
    Trainer trainer(options, fresh);
    Images broken = batch(2);
    broken = broken / 0.0;
    CHECK_THROWS_WITH_AS(static_cast<void>(trainer.step(broken)), doctest::Contains("not finite at step 0"), Error);
    CHECK(gradient_norm(parameters(trainer.model())) == 0.0);
    CHECK(trainer.step_count() == 0);
    CHECK(std::isfinite(trainer.step(batch(2)).loss));
}

TEST_CASE("stage 1B trains the decoder on its samples and leaves the encoder alone") {
    using Stage1B = FlowMoTrainer<FlowMoNano, Cpu, MultiScaleGradientLoss<2>>;
    FlowMoTrainOptions options;
    options.adam.learning_rate = 2e-3;
    options.sample_steps = 3;
    options.sample_code_dropout = 0.1;
    MultiScaleGradientLoss<2> perceptual;
    perceptual.weight = 1.0;
    Stage1B trainer(options, fresh, perceptual);
    const auto encoder = trainer.model().encoder.img_in.weight.to_host();
    const Images images = batch(4);
    double first = 0.0;
    double last = 0.0;
    for (int step = 0; step < 60; ++step) {
        const FlowMoTrainReport report = trainer.step(images);
        CHECK(report.loss == doctest::Approx(report.flow + report.perceptual).epsilon(1e-5));
        (step < 10 ? first : last) += step < 10 || step >= 50 ? report.perceptual / 10 : 0.0;
    }
    CHECK(last < 0.9 * first);
    CHECK(trainer.model().encoder.img_in.weight.to_host() == encoder);

    Trainer none(options, fresh);
    CHECK_THROWS_WITH_AS(static_cast<void>(none.step(images)), doctest::Contains("needs a perceptual loss"), Error);
}

TEST_CASE("impossible options are refused") {
    FlowMoTrainOptions options;
    options.accumulation = 0;
    CHECK_THROWS_WITH_AS(Trainer(options, fresh), doctest::Contains("accumulation"), Error);
    options = {};
    options.code_dropout = 1.5;
    CHECK_THROWS_WITH_AS(Trainer(options, fresh), doctest::Contains("code_dropout"), Error);
}

}  // namespace
