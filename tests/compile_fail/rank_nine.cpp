// expect: Shape: rank is at most 8
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/rearrange.hpp"

#ifdef FLOWFAR_FIXED
using Wide = flowfar::Shape<1, 1, 1, 1, 1, 1, 1, 8>;
#else
using Wide = flowfar::Shape<1, 1, 1, 1, 1, 1, 1, 1, 8>;
#endif

auto spread(const flowfar::Tensor<flowfar::Reference, flowfar::Shape<8>>& x, const flowfar::Extents& extents) {
    return flowfar::reshape<Wide>(x, extents);
}
