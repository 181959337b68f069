#include "lpips_suite.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("Vgg16: features, LPIPS and their input gradients are PyTorch's") {
    check_backbone<Lpips<Vgg16<Autodiff<Cpu>>>>("vgg16", 32, 40);
}
