// expect: deleted
// and: double
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
using Element = float;
#else
using Element = double;
#endif
using namespace flowfar;

void assign(Tensor<Reference, Shape<2>>& x, const Tensor<Reference, Shape<2>, Element>& y) {
    x = y;
}
