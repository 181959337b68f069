// expect: expand: only extents of 1 can be repeated
// and: expands_to<
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/rearrange.hpp"

#ifdef FLOWFAR_FIXED
constexpr int width = 3;
#else
constexpr int width = 4;
#endif

template <flowfar::Index... Extent>
using Tensor = flowfar::Tensor<flowfar::Reference, flowfar::Shape<Extent...>>;

auto repeat(const Tensor<1, 3>& x) {
    return flowfar::expand<5, width>(x);
}
