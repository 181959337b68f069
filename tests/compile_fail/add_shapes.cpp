// expect: elementwise: the shapes do not broadcast
// and: shapes_broadcast<
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
constexpr int width = 1;
#else
constexpr int width = 2;
#endif

template <flowfar::Index... Extent>
using Tensor = flowfar::Tensor<flowfar::Reference, flowfar::Shape<Extent...>>;

auto total(const Tensor<flowfar::dyn, 3>& a, const Tensor<4, width>& b) {
    return a + b;
}
