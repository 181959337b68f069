// expect: backward: the loss must be a scalar; reduce it with mean() or sum()
#include "flowfar/autodiff/backward.hpp"
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"

#ifdef FLOWFAR_FIXED
using LossShape = flowfar::Shape<>;
#else
using LossShape = flowfar::Shape<3>;
#endif

void train(const flowfar::Tensor<flowfar::Autodiff<flowfar::Reference>, LossShape>& loss) {
    backward(loss);
}
