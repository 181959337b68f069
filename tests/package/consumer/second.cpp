#include "second.hpp"

const void* address_in_second_unit() {
    return &flowfar::version_string;
}

void fail_in_second_unit() {
    flowfar::fail("thrown in one unit and caught in another");
}
