/// FlowMo-Hi at full size against the reference.

#include "golden_full.hpp"

TEST_CASE("FlowMo-Hi: encoder and one velocity") {
    flowfar::testing::check_full_size<flowfar::FlowMoHi>("flowmo_hi_full");
}
