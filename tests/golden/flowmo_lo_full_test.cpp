/// FlowMo-Lo at full size against the reference.

#include "golden_full.hpp"

TEST_CASE("FlowMo-Lo: encoder and one velocity") {
    flowfar::testing::check_full_size<flowfar::FlowMoLo>("flowmo_lo_full");
}
