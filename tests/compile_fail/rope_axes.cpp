// expect: FlowMo: the RoPE axes must sum to the head size
#include "flowfar/flowmo/config.hpp"

struct Wrong : flowfar::FlowMoTiny {
#ifndef FLOWFAR_FIXED
    static constexpr flowfar::MmditConfig decoder{112, 4, 3, {8, 10, 8}};
#endif
};

int main() {
    return static_cast<int>(flowfar::CheckedFlowMoConfig<Wrong>::patch_dim);
}
