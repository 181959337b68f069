// expect: elementwise: the operands live on different backends
#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
using Other = flowfar::Cpu;
#else
using Other = flowfar::Reference;
#endif

auto total(const flowfar::Tensor<flowfar::Cpu, flowfar::Shape<3>>& a,
           const flowfar::Tensor<Other, flowfar::Shape<3>>& b) {
    return a + b;
}
