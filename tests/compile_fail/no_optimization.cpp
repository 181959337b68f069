// expect: flowfar: compiled without optimization
// options: -DFLOWFAR_REQUIRE_OPTIMIZATION
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

int main() {}
