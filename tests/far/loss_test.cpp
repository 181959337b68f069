/// FAR's loss beyond the recorded cases: weights, targets, recomputation, a fresh model, wrong input.

#include "flowfar/far/loss.hpp"

#include <doctest/doctest.h>

#include "flowfar/backend/reference.hpp"

#include "approx.hpp"

using namespace flowfar;
using flowfar::testing::difference_of;

namespace {

struct Small : FarTiny {
    static constexpr std::string_view name = "Small";
    static constexpr Index channels = 2;
    static constexpr Index side = 3;
    static constexpr Index patch = 1;
    static constexpr Index buffer = 1;
    static constexpr Index hidden = 8;
    static constexpr Index heads = 2;
    static constexpr Index encoder_depth = 1;
    static constexpr Index decoder_depth = 1;
    static constexpr Index head_width = 8;
    static constexpr Index head_depth = 1;
};

using Model = Far<Masked<Small>, Autodiff<Reference>, double>;

constexpr Index batch = 3;
const std::vector<Index> labels{1, 9, 0};

Model make() {
    Model model;
    model.initialize(1);
    for_each_parameter(model, [](const auto& p) {
        const auto noise = Reference::normal(p.extents(), DType::f64, fold(4, p.name), 0);
        Reference::assign(p.value(), Reference::binary(BinaryOp::add, p.value(),
                                                       Reference::unary({UnaryOp::affine, 0.05, 0.0}, noise)));
    });
    return model;
}

struct Input {
    FarLossOptions options;
    FarDraws draws;
    Model::Latents latents = Model::Latents::normal({batch, 2, 3, 3}, 21);
    Model::Head::Rows noise;

    explicit Input(const FarLossOptions& given) : options(given) {
        options.multiplier = 2;
        draws = FarDraws::make<Masked<Small>>(batch, options, 1000, 6);
        draws.levels = {0, 2, 1};
        draws.mask.emplace(
            std::vector<Index>{8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 2, 4, 6, 8, 1, 3, 5, 7}, 9, 4);
        draws.steps[3] = 0;  // the likelihood's turn
        noise = Model::Head::Rows::normal({2 * batch * 9, 2}, draws.noise_seed);
    }
    [[nodiscard]] auto operator()(const Model& model) const {
        return far_loss(model, latents, labels, draws, noise, options);
    }
};

std::vector<double> gradients(Model& model, const Input& input) {
    for_each_parameter(model, [](const auto& p) { p.clear_gradient(); });
    backward(input(model).total);
    std::vector<double> out;
    for_each_parameter(model, [&](const auto& p) {
        REQUIRE_MESSAGE(p.gradient().defined(), p.name);
        const double* const data = p.gradient().template data<double>();
        REQUIRE(is_contiguous(p.gradient().layout));
        out.insert(out.end(), data, data + p.count());
    });
    return out;
}

}  // namespace

TEST_CASE("frequency weights multiply each sample's share") {
    const Model model = make();
    FarLossOptions options;
    options.run = {};
    Input input(options);
    const auto even = input(model);
    CHECK(even.total.item() == doctest::Approx(even.mse.item() + even.vb.item()));
    // With one level for all, weights are one factor.
    input.draws.levels = {1, 1, 1};
    const double plain = input(model).total.item();
    input.options.frequency_weights = true;
    CHECK(input(model).total.item() == doctest::Approx(plain * frequency_weight(1, 3)));
    // The difference between two weightings of one sample is that sample's share.
    const auto head =
        model.head.loss(Model::flatten(Model::patchify(input.latents)), Model::flatten(input(model).z),
                        Model::Head::Scalars::full({batch * 9, 1}, 1.0), input.draws.steps, input.noise, 2);
    const auto rows = (head.mse + head.vb).to_host();
    double total = 0;
    for (const double row : rows) {
        total += row * frequency_weight(1, 3) / static_cast<double>(rows.size());
    }
    CHECK(input(model).total.item() == doctest::Approx(total));
}

TEST_CASE("without the simplification the target is the next level") {
    const Model model = make();
    FarLossOptions options;
    options.run = {};
    Input input(options);
    const double simplified = input(model).total.item();
    input.options.simplified = false;
    const double next = input(model).total.item();
    CHECK(next != doctest::Approx(simplified));
    input.draws.levels = {2, 2, 2};  // the level after the last is the latent itself
    const double last = input(model).total.item();
    input.options.simplified = true;
    CHECK(input(model).total.item() == doctest::Approx(last));
}

TEST_CASE("recomputed blocks give the same loss and gradients, dropout included") {
    Model model = make();
    FarLossOptions options;
    options.run.dropout = {0.2, 0.2, 0};
    Input input(options);
    const double loss = input(model).total.item();
    const auto kept = gradients(model, input);
    input.options.run.checkpoint_blocks = true;
    CHECK(input(model).total.item() == loss);
    CHECK(difference_of(gradients(model, input), kept, 1e-12) == "");
    input.draws.dropout_seed += 1;
    CHECK(input(model).total.item() != loss);
}

TEST_CASE("a fresh model predicts nothing: its squared error is the noise's variance") {
    Model model;
    model.initialize(3);
    FarLossOptions options;
    const Input input(options);
    const auto loss = input(model);
    const std::vector<double> noise = input.noise.to_host();
    double variance = 0;
    for (const double value : noise) {
        variance += value * value / static_cast<double>(noise.size());
    }
    CHECK(loss.mse.item() == doctest::Approx(variance));
}

TEST_CASE("wrong input is named") {
    const Model model = make();
    FarLossOptions options;
    Input input(options);
    const auto run = [&](const std::vector<Index>& given) {
        return far_loss(model, input.latents, given, input.draws, input.noise, input.options);
    };
    CHECK_THROWS_WITH_AS(static_cast<void>(run({1, 10, 0})), "Small: label 10, expected 0 to 9 or -1 for no class",
                         Error);
    CHECK_THROWS_AS(static_cast<void>(run({1, 2})), Error);
    input.draws.levels[1] = 3;
    CHECK_THROWS_WITH_AS(static_cast<void>(run({1, 2, 0})), "far_loss: level 3, expected 0 to 2", Error);
    input.draws.levels[1] = 2;
    input.draws.steps.pop_back();
    CHECK_THROWS_AS(static_cast<void>(run({1, 2, 0})), Error);
    CHECK_THROWS_AS(Model::Latents(Autodiff<Reference>::full({3, 2, 3, 4}, DType::f64, 0.0)), Error);
}
