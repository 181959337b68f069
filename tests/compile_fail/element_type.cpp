// expect: Tensor: elements are float, double, bf16 or Index
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
using Element = float;
#else
using Element = int;
#endif

auto total(const flowfar::Tensor<flowfar::Reference, flowfar::Shape<3>, Element>& x) {
    return x + x;
}
