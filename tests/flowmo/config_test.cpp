#include "flowfar/flowmo/config.hpp"

#include <doctest/doctest.h>
#include <map>
#include <string>

#include "flowfar/backend/reference.hpp"
#include "flowfar/flowmo/loss.hpp"

namespace {

using namespace flowfar;

static_assert(CheckedFlowMoConfig<FlowMoLo>::patch_dim == 48);
static_assert(CheckedFlowMoConfig<FlowMoLo>::image_tokens == 4096);
static_assert(CheckedFlowMoConfig<FlowMoLo>::codewords_per_token == 2);
static_assert(CheckedFlowMoConfig<FlowMoHi>::codewords_per_token == 4);
static_assert(FlowMoLo::code_length * FlowMoLo::context_dim == 576 * 8);
static_assert(FlowMoHi::code_length * FlowMoHi::context_dim == 1792 * 8);
static_assert(CheckedFlowMoConfig<FlowMoSmall>::image_tokens == 1024);
static_assert(FlowMoLo::encoder.mlp_width() == 4 * 768 && FlowMoLo::decoder.mlp_width() == 4 * 1152);

/// MLPs of another width in the encoder and in the decoder.
struct OtherMlps : FlowMoNano {
    static constexpr std::string_view name = "OtherMlps";
    static constexpr MmditConfig encoder{16, 2, 1, {4, 2, 2}, 1.5};
    static constexpr MmditConfig decoder{16, 2, 1, {4, 2, 2}, 2.7};
};

TEST_CASE("the ratio of the MLPs is a configuration's") {
    using Model = FlowMo<OtherMlps, Autodiff<Reference>>;
    Model model = Model::random(3);
    std::map<std::string, Extents> found;
    for_each_parameter(model, [&](const auto& p) { found.emplace(p.name, p.extents()); });
    CHECK(found.at("encoder.double_blocks.0.img_mlp.0.weight") == Extents{24, 16});
    CHECK(found.at("encoder.double_blocks.0.txt_mlp.2.weight") == Extents{16, 24});
    CHECK(found.at("decoder.double_blocks.0.img_mlp.2.weight") == Extents{16, 43});  // 43.2 rounded down
    CHECK(found.at("decoder.double_blocks.0.txt_mlp.0.bias") == Extents{43});
}

TEST_CASE("the gradient stand-in loss is zero for equal images and grows with misplaced edges") {
    using X = Tensor<Autodiff<Reference>, Shape<dyn, 3, 8, 8>, double>;
    const auto x = X::normal({1, 3, 8, 8}, 1);
    const MultiScaleGradientLoss<3> loss;
    CHECK(loss(x, x).item() == 0.0);
    CHECK(loss(x, x + 0.5).item() == doctest::Approx(0.0));  // a constant offset moves no edge
    using Odd = Tensor<Autodiff<Reference>, Shape<dyn, 3, 12, 12>, double>;
    CHECK_THROWS_WITH_AS(static_cast<void>(loss(Odd::zeros({1, 3, 12, 12}), Odd::zeros({1, 3, 12, 12}))),
                         doctest::Contains("divisible by 8"), Error);
    const double near = loss(x, x + X::normal({1, 3, 8, 8}, 2) * 0.1).item();
    const double far = loss(x, x + X::normal({1, 3, 8, 8}, 2) * 0.2).item();
    CHECK(near > 0.0);
    CHECK(far == doctest::Approx(2 * near));
}

TEST_CASE("the draws of a loss are a function of the seed") {
    const auto a = FlowMoDraws<float>::make(64, TimeDistribution::thick_tailed, 0.1, 5);
    const auto b = FlowMoDraws<float>::make(64, TimeDistribution::thick_tailed, 0.1, 5);
    const auto c = FlowMoDraws<float>::make(64, TimeDistribution::thick_tailed, 0.1, 6);
    CHECK(a.times == b.times);
    CHECK(a.keep == b.keep);
    CHECK(a.noise_seed == b.noise_seed);
    CHECK(a.times != c.times);
    CHECK(a.noise_seed != c.noise_seed);
    int dropped = 0;
    const auto many = FlowMoDraws<float>::make(10000, TimeDistribution::uniform, 0.1, 1);
    for (const float keep : many.keep) {
        dropped += keep == 0.0F ? 1 : 0;
    }
    CHECK(FlowMoDraws<float>::make(64, ThickTailedTime{}, 0.1, 5).times == a.times);  // the policy type
    CHECK(dropped > 900);
    CHECK(dropped < 1100);
}

}  // namespace
