#include "inception_suite.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("FidInception: features, spatial features, logits and their input gradient are pytorch-fid's") {
    check_inception<FidInception<Autodiff<Cpu>>>();
}
