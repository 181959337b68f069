#include "suites/conv.hpp"

#include "flowfar/backend/cuda/cuda.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cuda: convolution") {
    check_conv2d<Cuda>(DType::f32);
}
TEST_CASE("cuda: convolution on bf16 tensors") {
    check_conv2d<Cuda>(DType::bf16);
}
TEST_CASE("cuda: group norm") {
    check_group_norm<Cuda>(DType::f32);
    check_group_norm<Cuda>(DType::bf16);
}
TEST_CASE("cuda: upsampling") {
    check_upsample<Cuda>(DType::f32);
    check_upsample<Cuda>(DType::bf16);
}
TEST_CASE("cuda: group norm and convolution in f64") {
    check_group_norm<Cuda>(DType::f64);
    Maker<Cuda> make(DType::f64, 614);
    check_conv2d_of<Cuda>(make, make.uniform({2, 3, 5, 7}), make.uniform({4, 3, 3, 3}), make.uniform({4}),
                          ConvOptions::same(3));
}
