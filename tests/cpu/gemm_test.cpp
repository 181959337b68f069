#include "suites/gemm.hpp"

#include "flowfar/backend/cpu.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cpu: matrix products of all storages and sizes") {
    check_gemm_storage<Cpu>(DType::f32);
    check_gemm_storage<Cpu>(DType::bf16);
}
TEST_CASE("cpu: batched matrix products") {
    check_gemm_batches<Cpu>(DType::f32);
    check_gemm_batches<Cpu>(DType::bf16);
    check_gemm_batches<Cpu>(DType::f64);
}
TEST_CASE("cpu: bias, activation and alpha") {
    check_gemm_options<Cpu>(DType::f32);
    check_gemm_options<Cpu>(DType::bf16);
}
TEST_CASE("cpu: any number of threads multiplies correctly") {
    const int before = Cpu::threads();
    for (const int threads : {1, 3}) {
        Cpu::set_threads(threads);
        check_gemm_batches<Cpu>(DType::f32);
    }
    Cpu::set_threads(before);
}
