// expect: where: the shapes of condition and choices do not broadcast
// and: shapes_broadcast<
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
constexpr int width = 3;
#else
constexpr int width = 4;
#endif

template <flowfar::Index... Extent>
using Tensor = flowfar::Tensor<flowfar::Reference, flowfar::Shape<Extent...>>;

auto choose(const Tensor<width>& condition, const Tensor<2, 3>& a) {
    return where(condition, a, a);
}
