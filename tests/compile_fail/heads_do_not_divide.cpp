// expect: FlowMo: the number of heads must divide the hidden width
#include "flowfar/flowmo/config.hpp"

struct Wrong : flowfar::FlowMoTiny {
#ifndef FLOWFAR_FIXED
    static constexpr flowfar::MmditConfig decoder{112, 5, 3, {8, 10, 10}};
#endif
};

int main() {
    return static_cast<int>(flowfar::CheckedFlowMoConfig<Wrong>::patch_dim);
}
