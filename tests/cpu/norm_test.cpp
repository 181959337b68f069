#include "suites/norm.hpp"

#include "flowfar/backend/cpu.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cpu: layer norm") {
    check_layer_norm<Cpu>(DType::f32);
    check_layer_norm<Cpu>(DType::bf16);
}
TEST_CASE("cpu: RMS norm") {
    check_rms_norm<Cpu>(DType::f32);
    check_rms_norm<Cpu>(DType::bf16);
}
TEST_CASE("cpu: rotary embedding") {
    check_rope<Cpu>(DType::f32);
    check_rope<Cpu>(DType::bf16);
}
