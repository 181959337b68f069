#include "suites/elementwise.hpp"

#include "flowfar/backend/cuda/cuda.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cuda: functions of one tensor") {
    check_unary<Cuda>(DType::f32);
    check_unary<Cuda>(DType::bf16);
    check_unary<Cuda>(DType::f64);
}
TEST_CASE("cuda: derivatives of functions of one tensor") {
    check_unary_backward<Cuda>(DType::f32);
    check_unary_backward<Cuda>(DType::bf16);
}
TEST_CASE("cuda: functions of two tensors") {
    check_binary<Cuda>(DType::f32);
    check_binary<Cuda>(DType::bf16);
    check_binary<Cuda>(DType::f64);
}
TEST_CASE("cuda: derivatives of functions of two tensors") {
    check_binary_backward<Cuda>(DType::f32);
    check_binary_backward<Cuda>(DType::bf16);
}
TEST_CASE("cuda: where") {
    check_where<Cuda>(DType::f32);
    check_where<Cuda>(DType::bf16);
    check_where<Cuda>(DType::f64);
}

TEST_CASE("cuda: multiply-add") {
    check_multiply_add<Cuda>(DType::f32);
    check_multiply_add<Cuda>(DType::bf16);
    check_multiply_add<Cuda>(DType::f64);
}
TEST_CASE("cuda: f32 operands beside bf16 are not rounded first") {
    Maker<Cuda> make(DType::f32, 111);
    const auto x = make.from({1.0, 2.0, 3.0}, {3});
    const auto y = make.from({1.001, 1.002, 1.003}, {3});
    const Handle narrow = Cuda::cast(x.tested, DType::bf16);
    const Handle z = Cuda::binary(BinaryOp::sub, narrow, y.tested);
    CHECK(z.dtype == DType::bf16);
    CHECK(difference_of(values_of<Cuda>(z), {1.0 - 1.001, 2.0 - 1.002, 3.0 - 1.003}, approx::bf16) == "");
}
TEST_CASE("cuda: operands of different element types are refused") {
    const Handle a = Cuda::full({3}, DType::f32, 1.0);
    const Handle b = Cuda::full({3}, DType::f64, 1.0);
    CHECK_THROWS_AS(static_cast<void>(Cuda::binary(BinaryOp::add, a, b)), Error);
    CHECK_THROWS_AS(static_cast<void>(Cuda::binary(BinaryOp::add, Cuda::cast(a, DType::bf16), b)), Error);
    CHECK_THROWS_AS(static_cast<void>(Cuda::unary({UnaryOp::exp}, Cuda::full({3}, DType::i64, 1.0))), Error);
}
