// expect: elementwise: the operands have different element types; cast one of them
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
using Element = float;
#else
using Element = double;
#endif

auto total(const flowfar::Tensor<flowfar::Reference, flowfar::Shape<3>>& a,
           const flowfar::Tensor<flowfar::Reference, flowfar::Shape<3>, Element>& b) {
    return a + b;
}
