// expect: linear: one bias per row of the weight
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
constexpr int rows = 128;
#else
constexpr int rows = 64;
#endif

template <flowfar::Index... Extent>
using Tensor = flowfar::Tensor<flowfar::Reference, flowfar::Shape<Extent...>>;

auto project(const Tensor<flowfar::dyn, 64>& x, const Tensor<128, 64>& weight, const Tensor<rows>& bias) {
    return linear(x, weight, bias);
}
