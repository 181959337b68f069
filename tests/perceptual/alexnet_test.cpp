#include "lpips_suite.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("AlexNet: features, LPIPS and their input gradients are PyTorch's") {
    check_backbone<Lpips<AlexNet<Autodiff<Cpu>>>>("alexnet", 71, 64);
}
