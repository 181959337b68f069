#include "suites/gemm.hpp"

#include "flowfar/backend/cuda/cuda.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cuda: matrix products of all storages and sizes") {
    check_gemm_storage<Cuda>(DType::f32);
    check_gemm_storage<Cuda>(DType::bf16);
}
TEST_CASE("cuda: batched matrix products") {
    check_gemm_batches<Cuda>(DType::f32);
    check_gemm_batches<Cuda>(DType::bf16);
    check_gemm_batches<Cuda>(DType::f64);
}
TEST_CASE("cuda: products added to something, through a gate") {
    check_gemm_add<Cuda>(DType::f32);
    check_gemm_add<Cuda>(DType::bf16);
    check_gemm_add<Cuda>(DType::f64);
}
TEST_CASE("cuda: bias, activation and alpha") {
    check_gemm_options<Cuda>(DType::f32);
    check_gemm_options<Cuda>(DType::bf16);
    check_gemm_options<Cuda>(DType::f64);
}
