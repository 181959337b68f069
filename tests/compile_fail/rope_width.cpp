// expect: rope: the table must hold half as many angles as the head has channels
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
constexpr int angles = 32;
#else
constexpr int angles = 64;
#endif

template <flowfar::Index... Extent>
using Tensor = flowfar::Tensor<flowfar::Reference, flowfar::Shape<Extent...>>;

auto rotate(const Tensor<1, 8, 16, 64>& x, const Tensor<16, angles>& cos, const Tensor<16, angles>& sin) {
    return rope(x, cos, sin);
}
