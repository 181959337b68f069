// expect: attention: queries, keys and values must have the same head size
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
constexpr int size = 64;
#else
constexpr int size = 32;
#endif

template <flowfar::Index Size>
using Heads = flowfar::Tensor<flowfar::Reference, flowfar::Shape<flowfar::dyn, 8, flowfar::dyn, Size>>;

auto attend(const Heads<64>& q, const Heads<size>& k) {
    return attention(q, k, k, 0.125);
}
