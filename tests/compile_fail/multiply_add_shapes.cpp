// expect: multiply_add: the product and the addend do not broadcast
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

auto scale(const Tensor<2, 3>& x, const Tensor<3>& factor, const Tensor<width>& addend) {
    return multiply_add(x, factor, addend);
}
