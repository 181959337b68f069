#include <doctest/doctest.h>

#include "flowfar/backend/cpu.hpp"
#include "flowfar/io/published_weights.hpp"
#include "flowfar/perceptual/resnet_loss.hpp"

#include "fixture.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("ResNet50: features, logits, FlowMo's loss and their input gradients are PyTorch's") {
    using Loss = ResNetLogitLoss<Autodiff<Cpu>>;
    using Images = Loss::Images;
    const Fixture fixture("resnet50");
    Loss loss;
    io::load_published(loss.network, fixture.weights());

    {
        const auto x = filled<Images>("image", {2, 3, 64, 80});
        fixture.close("features", loss.network.features(x), 1e-5);
        fixture.close("logits", loss.network.logits(x), 1e-5);
    }
    const auto x = filled_leaf<Images>("image", {1, 3, 64, 48});
    backward(mean(loss.network.logits(x) * filled<Loss::Network::Logits>("cotangent", {1, 1000})));
    fixture.close("gradient", gradient_of(x), 1e-4);

    const auto original = filled<Images>("image", {1, 3, 256, 240});
    const auto sample = filled_leaf<Images>("prediction", original.extents());
    const auto value = loss(original, sample);
    fixture.close("loss", value, 1e-5);
    backward(value);
    // 2e-5 unless one of 10 million units flips its sign; in double: resnet50_full_test.cpp
    fixture.close("loss.gradient", gradient_of(sample), 1e-2);
    for (const auto& p : parameters(loss)) {
        CHECK(p.handle->node == nullptr);
    }
}
