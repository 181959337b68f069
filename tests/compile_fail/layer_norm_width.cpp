// expect: layer_norm: scale and shift must be as wide as the input
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
constexpr int width = 64;
#else
constexpr int width = 32;
#endif

template <flowfar::Index... Extent>
using Tensor = flowfar::Tensor<flowfar::Reference, flowfar::Shape<Extent...>>;

auto normalize(const Tensor<flowfar::dyn, 64>& x, const Tensor<width>& gain, const Tensor<width>& bias) {
    return layer_norm(x, gain, bias);
}
