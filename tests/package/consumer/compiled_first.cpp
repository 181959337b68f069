// With compiled_second.cpp: two units that call the same non-template code, which flowfar::compiled compiles once.
#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/core/ops.hpp"

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#error "flowfar::compiled defines FLOWFAR_SEPARATE_DEFINITIONS for what links it"
#endif

bool second_unit_writes_a_file();

int main() {
    using Matrix = flowfar::Tensor<flowfar::Cpu, flowfar::Shape<2, 2>>;
    const auto product = flowfar::matmul(Matrix::full({2, 2}, 2.0), Matrix::full({2, 2}, 3.0));
    return product.to_host()[3] == 12.0F && second_unit_writes_a_file() ? 0 : 1;
}
