// expect: slice: the range must lie inside the axis
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/rearrange.hpp"

#ifdef FLOWFAR_FIXED
constexpr int end = 8;
#else
constexpr int end = 9;
#endif

auto part(const flowfar::Tensor<flowfar::Reference, flowfar::Shape<flowfar::dyn, 8>>& x) {
    return flowfar::slice<1, 4, end>(x);
}
