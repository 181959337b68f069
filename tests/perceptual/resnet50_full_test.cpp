// FlowMo's loss at 224 x 224 pixels in double: float32 cannot tell on which side of a ReLU's kink each of ten million
// units lies, so its gradients agree with PyTorch's to a percent only.

#include <doctest/doctest.h>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/published.hpp"
#include "flowfar/perceptual/resnet_loss.hpp"

#include "fixture.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("the ResNet-50 logit loss and its gradient in double are PyTorch's") {
    using Loss = ResNetLogitLoss<Autodiff<Cpu>, double>;
    const Fixture fixture("resnet50");
    Loss loss;
    io::load_published(loss.network, fixture.weights());
    const auto original = filled<Loss::Images>("image", {1, 3, 256, 240});
    const auto sample = filled_leaf<Loss::Images>("prediction", original.extents());
    const auto value = loss(original, sample);
    fixture.close("loss", value, 1e-7);  // recorded in float32
    backward(value);
    fixture.close("loss.gradient", gradient_of(sample), 1e-7);
}
