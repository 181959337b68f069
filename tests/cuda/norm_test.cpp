#include "suites/norm.hpp"

#include "flowfar/backend/cuda/cuda.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cuda: layer norm") {
    check_layer_norm<Cuda>(DType::f32);
    check_layer_norm<Cuda>(DType::bf16);
}
TEST_CASE("cuda: modulated layer norm") {
    check_modulated_layer_norm<Cuda>(DType::f32);
    check_modulated_layer_norm<Cuda>(DType::bf16);
}
TEST_CASE("cuda: RMS norm") {
    check_rms_norm<Cuda>(DType::f32);
    check_rms_norm<Cuda>(DType::bf16);
}
TEST_CASE("cuda: rotary embedding") {
    check_rope<Cuda>(DType::f32);
    check_rope<Cuda>(DType::bf16);
}
TEST_CASE("cuda: norms of rows of every kind: in registers of a warp and of a block, and read again") {
    for (const DType dtype : {DType::f32, DType::bf16}) {
        Maker<Cuda> make(dtype, 411);
        for (const Index columns : {8, 96, 256, 264, 768, 1024, 1032, 1536, 1544, 4096, 4104, 5001}) {
            const auto x = make.uniform({3, columns}, -2.0, 3.0);
            const auto scale = make.uniform({columns}, 0.5, 1.5);
            const double tolerance = 4.0 * approx::of(dtype, 3 * columns);
            agree<Cuda>(
                text("layer norm of ", columns), make, tolerance,
                [](auto b, const auto& h, const auto& s, const auto& g) {
                    const auto d = b.layer_norm_backward(h, s, s, g, {});
                    return std::vector{b.layer_norm(h, s, s, {}), d.input, d.scale, d.shift};
                },
                x, scale, make.uniform({3, columns}));
        }
    }
}
