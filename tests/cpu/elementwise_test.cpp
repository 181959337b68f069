#include "suites/elementwise.hpp"

#include "flowfar/backend/cpu/cpu.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cpu: functions of one tensor") {
    check_unary<Cpu>(DType::f32);
    check_unary<Cpu>(DType::bf16);
}
TEST_CASE("cpu: derivatives of functions of one tensor") {
    check_unary_backward<Cpu>(DType::f32);
    check_unary_backward<Cpu>(DType::bf16);
}
TEST_CASE("cpu: functions of two tensors") {
    check_binary<Cpu>(DType::f32);
    check_binary<Cpu>(DType::bf16);
}
TEST_CASE("cpu: derivatives of functions of two tensors") {
    check_binary_backward<Cpu>(DType::f32);
    check_binary_backward<Cpu>(DType::bf16);
}
TEST_CASE("cpu: where") {
    check_where<Cpu>(DType::f32);
    check_where<Cpu>(DType::bf16);
    check_where<Cpu>(DType::f64);
}

TEST_CASE("cpu: multiply-add") {
    check_multiply_add<Cpu>(DType::f32);
    check_multiply_add<Cpu>(DType::bf16);
    check_multiply_add<Cpu>(DType::f64);
}
TEST_CASE("cpu: operands of different element types are refused") {
    const Handle a = Cpu::full({3}, DType::f32, 1.0);
    const Handle b = Cpu::full({3}, DType::f64, 1.0);
    CHECK_THROWS_AS(static_cast<void>(Cpu::binary(BinaryOp::add, a, b)), Error);
    CHECK_THROWS_AS(static_cast<void>(Cpu::binary(BinaryOp::add, Cpu::cast(a, DType::bf16), b)), Error);
    CHECK_THROWS_AS(static_cast<void>(Cpu::unary({UnaryOp::exp}, Cpu::full({3}, DType::i64, 1.0))), Error);
}
