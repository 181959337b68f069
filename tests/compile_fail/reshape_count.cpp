// expect: reshape: the shapes have different numbers of elements
// and: counts_agree<
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/rearrange.hpp"

#ifdef FLOWFAR_FIXED
using Flat = flowfar::Shape<12>;
#else
using Flat = flowfar::Shape<13>;
#endif

auto flatten(const flowfar::Tensor<flowfar::Reference, flowfar::Shape<3, 4>>& x) {
    return flowfar::reshape<Flat>(x, {12});
}
