// expect: concat: the operands must agree in all other axes
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/rearrange.hpp"

#ifdef FLOWFAR_FIXED
constexpr int width = 8;
#else
constexpr int width = 9;
#endif

template <flowfar::Index... Extent>
using Tensor = flowfar::Tensor<flowfar::Reference, flowfar::Shape<Extent...>>;

auto join(const Tensor<flowfar::dyn, 8>& a, const Tensor<5, width>& b) {
    return flowfar::concat<0>(a, b);
}
