// ResNet-50 and FID's Inception network with their input gradients on the CUDA backend, against the numbers that
// PyTorch and pytorch-fid gave.
#include "flowfar/autodiff/autodiff.hpp"
#include "flowfar/backend/cuda/cuda.hpp"

#include "perceptual/inception_suite.hpp"
#include "perceptual/resnet_suite.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cuda: ResNet-50's features, logits and input gradient are PyTorch's") {
    const Fixture fixture("resnet50");
    ResNetLogitLoss<Autodiff<Cuda>> loss;
    io::load_published(loss.network, fixture.weights());
    check_resnet(loss.network, fixture);
}
TEST_CASE("cuda: FidInception's features, logits and input gradient are pytorch-fid's") {
    check_inception<FidInception<Autodiff<Cuda>>>();
}
