// expect: squeeze: the axis must have extent 1
// and: Mismatch<3, 1>
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/rearrange.hpp"

#ifdef FLOWFAR_FIXED
constexpr int axis = 0;
#else
constexpr int axis = 1;
#endif

template <flowfar::Index... Extent>
using Tensor = flowfar::Tensor<flowfar::Reference, flowfar::Shape<Extent...>>;

auto vector(const Tensor<1, 3>& x) {
    return flowfar::squeeze<axis>(x);
}
