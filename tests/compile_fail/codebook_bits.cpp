// expect: FlowMo: the codebook bits must divide context_dim
#include "flowfar/flowmo/config.hpp"

struct Wrong : flowfar::FlowMoTiny {
#ifndef FLOWFAR_FIXED
    static constexpr flowfar::Index codebook_bits = 10;
#endif
};

int main() {
    return static_cast<int>(flowfar::CheckedFlowMoConfig<Wrong>::patch_dim);
}
