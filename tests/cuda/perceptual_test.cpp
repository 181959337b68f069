// The perceptual networks, their distances and gradients on the CUDA backend, against the numbers that PyTorch gave.
#include "flowfar/autodiff/autodiff.hpp"
#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/perceptual/alexnet.hpp"
#include "flowfar/perceptual/squeezenet.hpp"
#include "flowfar/perceptual/vgg16.hpp"

#include "perceptual/lpips_suite.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cuda: LPIPS on SqueezeNet gives PyTorch's features, distances and gradients") {
    check_backbone<Lpips<SqueezeNet<Autodiff<Cuda>>>>("squeezenet", 60, 71);
}
TEST_CASE("cuda: LPIPS on AlexNet") {
    check_backbone<Lpips<AlexNet<Autodiff<Cuda>>>>("alexnet", 71, 64);
}
TEST_CASE("cuda: LPIPS on VGG-16") {
    check_backbone<Lpips<Vgg16<Autodiff<Cuda>>>>("vgg16", 32, 40);
}
