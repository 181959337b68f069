#include "suites/reduce.hpp"

#include "flowfar/backend/cpu/cpu.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cpu: reductions over every set of axes") {
    check_reduce<Cpu>(DType::f32);
    check_reduce<Cpu>(DType::bf16);
}
TEST_CASE("cpu: long reductions") {
    check_long_reduce<Cpu>();
}
TEST_CASE("cpu: softmax") {
    check_softmax<Cpu>(DType::f32);
    check_softmax<Cpu>(DType::bf16);
}
