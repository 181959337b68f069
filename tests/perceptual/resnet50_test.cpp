#include <doctest/doctest.h>

#include "resnet_suite.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("ResNet50: features, logits, FlowMo's loss and their input gradients are PyTorch's") {
    using Loss = ResNetLogitLoss<Autodiff<Cpu>>;
    using Images = Loss::Images;
    const Fixture fixture("resnet50");
    Loss loss;
    io::load_published(loss.network, fixture.weights());

    check_resnet(loss.network, fixture);

    const auto original = filled<Images>("image", {1, 3, 256, 240});
    const auto sample = filled_leaf<Images>("prediction", original.extents());
    const auto value = loss(original, sample);
    fixture.close("loss", value, 1e-5);
    backward(value);
    // 2e-5 unless one of 10 million units flips its sign; in double: resnet50_full_test.cpp
    fixture.close("loss.gradient", gradient_of(sample), 1e-2);
}
