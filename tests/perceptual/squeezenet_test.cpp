#include "lpips_suite.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("SqueezeNet: features, LPIPS and their input gradients are PyTorch's") {
    check_backbone<Lpips<SqueezeNet<Autodiff<Cpu>>>>("squeezenet", 60, 71);
}
