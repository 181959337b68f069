/// Training of MAR, raster AR and VAR beyond the recorded cases: gradients, loss, recomputation, saved states.

#include <cmath>
#include <doctest/doctest.h>
#include <span>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/backend/reference.hpp"
#include "flowfar/checkpoints/train_state.hpp"
#include "flowfar/mar/train.hpp"
#include "flowfar/raster/train.hpp"
#include "flowfar/var/train.hpp"

#include "temp_dir.hpp"

using namespace flowfar;

namespace {

template <class C>
struct Narrow : C {
    static constexpr Index hidden = 16;
    static constexpr Index heads = 2;
    static constexpr Index head_width = 16;
};

/// Two latents of a model or trainer M.
template <class M>
typename M::Latents latents_of() {
    using Latents = typename M::Latents;
    return Latents(Latents::normal({2, Latents::Shape::at(1), Latents::Shape::at(2), Latents::Shape::at(3)}, 5) * 0.3);
}

/// The gradient of the squared error along a random direction is the loss's slope there. The likelihood's share holds
/// the mean fixed, so that its slope is another.
template <class Recipe, Index rows>
void check_slope() {
    using B = Reference;
    using Model = typename Recipe::template Model<Autodiff<B>, double>;
    Model model;
    model.initialize(1);
    const auto moved = [&](double by, std::uint64_t seed) {
        for_each_parameter(model, [&](const auto& p) {
            const auto direction = B::normal(p.extents(), p.dtype(), fold(seed, p.name), 0);
            B::assign(p.value(), B::binary(BinaryOp::add, p.value(), B::unary({UnaryOp::affine, by, 0.0}, direction)));
        });
    };
    moved(0.05, 1);  // a fresh model's output layers are zero
    typename Recipe::LossOptions options;
    options.multiplier = 1;
    options.run = {};
    const auto draws = Recipe::Draws::template make<typename Recipe::Config>(2, options, model.head.process.steps(), 3);
    const auto noise = Model::Head::Rows::normal({2 * rows, Model::token_dim}, draws.noise_seed);
    const auto latents = latents_of<Model>();
    const std::vector<Index> labels{1, 2};
    const auto loss = [&] {
        return Recipe::loss(model, latents, std::span<const Index>(labels), draws, noise, options).mse;
    };
    backward(loss());
    double slope = 0.0;
    for_each_parameter(model, [&](const auto& p) {
        if (p.gradient().defined()) {
            const auto direction = B::normal(p.extents(), p.dtype(), fold(2, p.name), 0);
            std::vector<double> along(static_cast<std::size_t>(p.count()));
            B::to_host(B::binary(BinaryOp::mul, direction, p.gradient()), along.data());
            for (const double value : along) {
                slope += value;
            }
        }
    });
    constexpr double h = 1e-5;
    moved(h, 2);
    const double above = loss().item();
    moved(-2.0 * h, 2);
    CHECK(std::abs(slope) > 1e-3);
    CHECK((above - loss().item()) / (2.0 * h) == doctest::Approx(slope).epsilon(1e-5));
}

/// All parameters of a trainer's model.
template <class Trainer>
std::vector<float> parameters_of(Trainer& trainer) {
    std::vector<float> out;
    for_each_parameter(trainer.model(), [&](const auto& p) {
        const std::size_t first = out.size();
        out.resize(first + static_cast<std::size_t>(p.count()));
        Cpu::to_host(p.value(), out.data() + first);
    });
    return out;
}

/// Some steps on one batch lower its loss, and a restored trainer continues alike.
template <class Trainer>
TokenTrainReport check_training() {
    typename Trainer::Options options;
    options.adam.learning_rate = 3e-3;
    options.loss.run.dropout = {0.05, 0.05, 0};
    const auto fresh = [](auto& model) { model.initialize(2); };
    Trainer trainer(options, fresh);
    const auto latents = latents_of<Trainer>();
    const std::vector<Index> two{1, 2};
    const TokenTrainReport first = trainer.step(latents, two);
    const testing::TempDir folder;
    save_training(trainer, folder / "state");
    Trainer restored(options, [](auto& model) { model.initialize(99); });
    load_training(restored, folder / "state");
    TokenTrainReport last;
    for (int i = 0; i < 12; ++i) {
        last = trainer.step(latents, two);
        CHECK(last.gradient_norm > 0.0);
        if (i < 2) {
            CHECK(restored.step(latents, two).loss == last.loss);
            CHECK(parameters_of(restored) == parameters_of(trainer));
        }
    }
    CHECK(last.loss < first.loss);

    // Recomputed blocks drop the same activations again.
    typename Trainer::Options recomputing = options;
    recomputing.loss.run.checkpoint_blocks = true;
    const TokenTrainReport again = Trainer(recomputing, fresh).step(latents, two);
    CHECK(again.loss == first.loss);
    CHECK(again.gradient_norm == doctest::Approx(first.gradient_norm));
    CHECK_THROWS_WITH_AS(trainer.step(latents, std::vector<Index>{1, 100}), doctest::Contains(": label 100, expected"),
                         Error);
    CHECK_THROWS_AS(trainer.step(latents, std::vector<Index>{1}), Error);
    return last;
}

}  // namespace

TEST_CASE("the gradients of all paradigms' losses are their slopes") {
    check_slope<MarRecipe<Narrow<MarTiny>>, 64>();
    check_slope<RasterRecipe<Narrow<RasterTiny>>, 16>();
    check_slope<VarRecipe<Narrow<VarTiny>>, 103>();
}

TEST_CASE("training lowers the loss and continues from a file; VAR reports the mean of every scale") {
    CHECK(check_training<MarTrainer<MarTiny, Cpu>>().scale_loss.empty());
    CHECK(check_training<RasterTrainer<RasterTiny, Cpu>>().scale_loss.empty());
    const TokenTrainReport report = check_training<VarTrainer<VarTiny, Cpu>>();
    REQUIRE(report.scale_loss.size() == 5);
    double total = 0.0;
    for (std::size_t k = 0; k < 5; ++k) {
        const auto side = static_cast<double>(VarTiny::Scales::values[k]);
        total += report.scale_loss[k] * side * side / 103.0;
    }
    CHECK(total == doctest::Approx(report.loss));
}
