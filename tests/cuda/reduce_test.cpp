#include "suites/reduce.hpp"

#include "flowfar/backend/cuda/cuda.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cuda: reductions over every set of axes") {
    check_reduce<Cuda>(DType::f32);
    check_reduce<Cuda>(DType::bf16);
}
TEST_CASE("cuda: long reductions") {
    check_long_reduce<Cuda>();
}
TEST_CASE("cuda: softmax") {
    check_softmax<Cuda>(DType::f32);
    check_softmax<Cuda>(DType::bf16);
}
