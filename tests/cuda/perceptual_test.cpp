// A perceptual network, its distance and the gradients on the CUDA backend, against the numbers that PyTorch gave.
#include "flowfar/autodiff/autodiff.hpp"
#include "flowfar/backend/cuda.hpp"
#include "flowfar/perceptual/squeezenet.hpp"

#include "perceptual/lpips_suite.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cuda: LPIPS on SqueezeNet gives PyTorch's features, distances and gradients") {
    check_backbone<Lpips<SqueezeNet<Autodiff<Cuda>>>>("squeezenet", 60, 71);
}
