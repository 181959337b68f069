// expect: FlowMoTrainer: name the plain backend; the trainer adds the tape itself
#include "flowfar/backend/reference.hpp"
#include "flowfar/flowmo/train.hpp"

#ifdef FLOWFAR_FIXED
using Backend = flowfar::Reference;
#else
using Backend = flowfar::Autodiff<flowfar::Reference>;
#endif

int main() {
    return static_cast<int>(sizeof(flowfar::FlowMoTrainer<flowfar::FlowMoNano, Backend>)) & 0;
}
