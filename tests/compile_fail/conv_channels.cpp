// expect: conv2d: the input must have as many channels as the weight's second extent
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/images/conv_ops.hpp"

#ifdef FLOWFAR_FIXED
constexpr int channels = 16;
#else
constexpr int channels = 24;
#endif

template <flowfar::Index... Extent>
using Tensor = flowfar::Tensor<flowfar::Reference, flowfar::Shape<Extent...>>;

auto filter(const Tensor<flowfar::dyn, channels, 8, 8>& x, const Tensor<32, 16, 3, 3>& weight, const Tensor<32>& bias) {
    return conv2d(x, weight, bias);
}
