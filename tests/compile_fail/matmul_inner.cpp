// expect: matmul: the last extent of a must equal the second last of b
// and: Mismatch<4, 5>
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
constexpr int inner = 4;
#else
constexpr int inner = 5;
#endif

template <flowfar::Index... Extent>
using Tensor = flowfar::Tensor<flowfar::Reference, flowfar::Shape<Extent...>>;

auto product(const Tensor<2, 3, 4>& a, const Tensor<2, inner, 6>& b) {
    return matmul(a, b);
}
