// expect: FlowMo: the patch size must divide the image's height and width
#include "flowfar/flowmo/config.hpp"

struct Wrong : flowfar::FlowMoTiny {
#ifndef FLOWFAR_FIXED
    static constexpr flowfar::Index image_width = 33;
#endif
};

int main() {
    return static_cast<int>(flowfar::CheckedFlowMoConfig<Wrong>::patch_dim);
}
