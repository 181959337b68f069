// expect: deleted
// and: Shape<2, 4>
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
constexpr int width = 3;
#else
constexpr int width = 4;
#endif

template <flowfar::Index... Extent>
using Tensor = flowfar::Tensor<flowfar::Reference, flowfar::Shape<Extent...>>;

Tensor<2, 3> renamed(const Tensor<2, width>& x) {
    return x;
}
