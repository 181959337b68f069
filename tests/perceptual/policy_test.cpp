/// The perceptual losses as FlowMo's policy.

#include <doctest/doctest.h>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/flowmo/train.hpp"
#include "flowfar/perceptual/lpips.hpp"
#include "flowfar/perceptual/resnet_loss.hpp"

#include "approx.hpp"

using namespace flowfar;

namespace {

[[nodiscard]] std::vector<double> values(const Handle& h) {
    std::vector<float> out(static_cast<std::size_t>(h.count()));
    Cpu::to_host(h, out.data());
    return {out.begin(), out.end()};
}

/// One training step with and without the policy: what it adds to the loss, and that its gradient reaches the decoder
/// and nothing of its own.
template <class Perceptual>
void check_policy(const Perceptual& perceptual) {
    using With = FlowMoTrainer<FlowMoNano, Cpu, Perceptual>;
    using Without = FlowMoTrainer<FlowMoNano, Cpu>;
    const auto fresh = [](auto& model) { model.initialize(5); };
    FlowMoTrainOptions options;
    options.code_dropout = 0.0;
    With with(options, fresh, perceptual);
    Without without(options, fresh);
    const auto images =
        clamp(With::Images::normal({1, 3, FlowMoNano::image_height, FlowMoNano::image_width}, 8) * 0.5, -1.0, 1.0);
    const FlowMoTrainReport a = with.accumulate(images);
    const FlowMoTrainReport b = without.accumulate(images);
    CHECK(a.flow == b.flow);
    CHECK(a.perceptual > 0.0);
    CHECK(b.perceptual == 0.0);
    CHECK(a.loss == doctest::Approx(b.loss + perceptual.weight * a.perceptual).epsilon(1e-5));

    const auto pa = parameters(with.model());
    const auto pb = parameters(without.model());
    int moved = 0;
    for (std::size_t i = 0; i < pa.size(); ++i) {
        if (pa[i].name.starts_with("decoder.") && pa[i].gradient().defined()) {
            moved += testing::relative_l2(values(pa[i].gradient()), values(pb[i].gradient())) > 1e-6 ? 1 : 0;
        }
    }
    CHECK(moved > 10);
    for (const auto& p : parameters(perceptual)) {
        CHECK(p.handle->node == nullptr);
    }
}

}  // namespace

TEST_CASE("LPIPS in FlowMo's training loss") {
    Lpips<Vgg16<Autodiff<Cpu>>> lpips;
    lpips.network.initialize(1);
    for (const auto& p : parameters(lpips.weights)) {
        Cpu::assign(p.value(), Cpu::full({}, DType::f32, 1.0));
    }
    check_policy(lpips);
}

TEST_CASE("the ResNet-50 logit loss in FlowMo's training loss") {
    ResNetLogitLoss<Autodiff<Cpu>> loss;
    loss.network.initialize(2);
    loss.weight = 1e6;  // fresh weights without batch norm give logits that hardly differ
    check_policy(loss);
}
