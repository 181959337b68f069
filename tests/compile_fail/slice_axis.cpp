// expect: slice: the tensor has no such axis
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/rearrange.hpp"

#ifdef FLOWFAR_FIXED
constexpr int axis = -2;
#else
constexpr int axis = 2;
#endif

auto part(const flowfar::Tensor<flowfar::Reference, flowfar::Shape<flowfar::dyn, 8>>& x) {
    return flowfar::slice<axis>(x, 0, 1);
}
