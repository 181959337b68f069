#include "flowfar/far/train.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <set>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/train_state.hpp"

#include "temp_dir.hpp"

namespace {

using namespace flowfar;
using PlainTrainer = FarTrainer<FarNano, Cpu>;
using MaskedTrainer = FarTrainer<Masked<FarNano>, Cpu>;
using Latents = PlainTrainer::Latents;

const auto fresh = [](auto& model) { model.initialize(5); };
const std::vector<Index> labels{3, 0, 9, no_class};

Latents batch() {
    return Latents::normal({4, 3, 16, 16}, 8);
}

template <class T>
void check_learning() {
    FarTrainOptions options;
    options.adam.learning_rate = 3e-3;
    T trainer(options, fresh);
    const Latents latents = batch();
    double first = 0.0;
    double last = 0.0;
    for (int step = 0; step < 60; ++step) {
        const FarTrainReport report = trainer.step(latents, labels);
        CHECK(report.loss == doctest::Approx(report.mse + report.vb).epsilon(1e-5));
        (step < 10 ? first : last) += step < 10 || step >= 50 ? report.mse / 10 : 0.0;
    }
    CHECK(last < 0.8 * first);
    CHECK(trainer.step_count() == 60);
}

}  // namespace

TEST_CASE("training lowers the loss, with and without hidden tokens") {
    check_learning<PlainTrainer>();
    check_learning<MaskedTrainer>();
}

TEST_CASE("weight decay is for matrices outside the diffusion MLP") {
    PlainTrainer trainer({}, fresh);
    const auto& groups = trainer.adam().groups();
    REQUIRE(groups.size() == 2);
    CHECK(groups[0].weight_decay == 0.02);
    CHECK(groups[1].weight_decay == 0.0);
    std::set<std::string> decayed;
    std::set<std::string> others;
    for (const auto& slot : trainer.adam().slots()) {
        (slot.group == 0 ? decayed : others).insert(slot.parameter.name);
        CHECK(groups[slot.group].decoupled);
    }
    CHECK(decayed.size() + others.size() == parameters(trainer.model()).size());
    for (const char* name : {"class_emb.weight", "fake_latent", "mask_token", "encoder_pos_embed_learned",
                             "encoder_blocks.0.attn.qkv.weight", "z_proj.weight"}) {
        CHECK_MESSAGE(decayed.contains(name), name);
    }
    for (const char* name : {"z_proj.bias", "z_proj_ln.weight", "decoder_norm.bias", "diffloss.net.input_proj.weight",
                             "diffloss.net.res_blocks.0.mlp.0.weight"}) {
        CHECK_MESSAGE(others.contains(name), name);
    }
}

TEST_CASE("a restored trainer continues as the first would have") {
    const testing::TempDir folder;
    FarTrainOptions options;
    options.seed = 3;
    options.loss.level_per_sample = true;
    MaskedTrainer first(options, fresh);
    for (int step = 0; step < 3; ++step) {
        first.step(batch(), labels);
    }
    save_training(first, folder / "state");
    MaskedTrainer second(options, [](auto& model) { model.initialize(99); });
    load_training(second, folder / "state");
    CHECK(second.step_count() == 3);
    for (int step = 0; step < 2; ++step) {
        const FarTrainReport a = first.step(batch(), labels);
        const FarTrainReport b = second.step(batch(), labels);
        CHECK(a.loss == b.loss);
        CHECK(a.gradient_norm == b.gradient_norm);
    }
    CHECK(first.averaged_model().class_vectors.null.to_host() == second.averaged_model().class_vectors.null.to_host());
}

TEST_CASE("the average follows every step, and clipping limits what a step does") {
    FarTrainOptions options;
    options.ema_decay = 0.5;
    options.ema_start = EmaStart::published;
    options.clip = 1e-9;
    options.adam.weight_decay = 0.0;
    options.adam.epsilon = 1.0;  // makes steps proportional to gradients
    PlainTrainer trainer(options, fresh);
    trainer.step(batch(), labels);
    // A fresh model's last layer starts at zero and is the first to learn.
    const auto held = trainer.model().head.net.linear.weight.to_host();
    FarTrainOptions free = options;
    free.clip = 0.0;
    PlainTrainer unclipped(free, fresh);
    unclipped.step(batch(), labels);
    const auto moved = unclipped.model().head.net.linear.weight.to_host();
    const auto averaged = unclipped.averaged_model().head.net.linear.weight.to_host();
    double largest = 0.0;
    for (std::size_t i = 0; i < moved.size(); ++i) {
        CHECK(averaged[i] == doctest::Approx(0.5F * moved[i]).epsilon(1e-6));
        CHECK(std::fabs(held[i]) <= 1e-10F);
        largest = std::max(largest, std::fabs(static_cast<double>(moved[i])));
    }
    CHECK(largest > 1e-8);
}

TEST_CASE("what cannot be is refused") {
    FarTrainOptions options;
    options.loss.label_drop = 2.0;
    CHECK_THROWS_WITH_AS(PlainTrainer(options, fresh), "FarTrainer: label_drop must lie in [0, 1], found 2", Error);
    PlainTrainer trainer({}, fresh);
    CHECK_THROWS_WITH_AS(static_cast<void>(trainer.step(batch(), std::vector<Index>{1, 2, 3, 10})),
                         "FarNano: label 10, expected 0 to 9 or -1 for no class", Error);
    CHECK_THROWS_AS(static_cast<void>(trainer.step(batch(), std::vector<Index>{1, 2, 3})), Error);
    const Latents broken = batch() * std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH_AS(static_cast<void>(trainer.step(broken, labels)), doctest::Contains("not finite at step 0"),
                         Error);
    CHECK(trainer.step_count() == 0);
    CHECK(std::isfinite(trainer.step(batch(), labels).loss));
}
