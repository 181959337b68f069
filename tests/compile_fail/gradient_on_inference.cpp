// expect: gradient: this tensor belongs to an inference backend; train with Autodiff<Backend>
#include "flowfar/autodiff/backward.hpp"
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
using Backend = flowfar::Autodiff<flowfar::Reference>;
#else
using Backend = flowfar::Reference;
#endif

auto slope(const flowfar::Tensor<Backend, flowfar::Shape<3>>& x) {
    return gradient(x);
}
