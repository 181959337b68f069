// expect: linear: the last extent of the input must equal the weight's second
// and: Mismatch<96, 64>
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
constexpr int width = 64;
#else
constexpr int width = 96;
#endif

template <flowfar::Index... Extent>
using Tensor = flowfar::Tensor<flowfar::Reference, flowfar::Shape<Extent...>>;

auto project(const Tensor<flowfar::dyn, width>& x, const Tensor<128, 64>& weight, const Tensor<128>& bias) {
    return linear(x, weight, bias);
}
