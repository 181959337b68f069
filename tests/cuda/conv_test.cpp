#include "suites/conv.hpp"

#include "flowfar/backend/cuda/cuda.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cuda: convolution") {
    check_conv2d<Cuda>(DType::f32);
}
TEST_CASE("cuda: convolution on bf16 tensors") {
    check_conv2d<Cuda>(DType::bf16);
}
TEST_CASE("cuda: group norm") {
    check_group_norm<Cuda>(DType::f32);
    check_group_norm<Cuda>(DType::bf16);
}
TEST_CASE("cuda: group norm with SiLU in one pass") {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
        Maker<Cuda> make(dtype, 615);
        for (const Extents& e :
             {Extents{2, 6, 5, 7}, Extents{1, 4, 8, 12}, Extents{2, 8, 130, 136}, Extents{0, 4, 3}}) {
            const auto x = make.uniform(e, -2.0, 3.0);
            const auto w = make.uniform({e[1]}, 0.5, 1.5);
            const auto b = make.uniform({e[1]});
            const Handle expected =
                Reference::unary({UnaryOp::silu}, Reference::group_norm(x.exact, w.exact, b.exact, 2, 1e-5));
            check_handles<Cuda>(text("SiLU of group norm of ", e),
                                {Cuda::group_norm_silu(x.tested, w.tested, b.tested, 2, 1e-5)}, {expected}, dtype,
                                2.0 * approx::of(dtype, e.count()), make.seed());
        }
    }
}
TEST_CASE("cuda: upsampling") {
    check_upsample<Cuda>(DType::f32);
    check_upsample<Cuda>(DType::bf16);
}
TEST_CASE("cuda: group norm and convolution in f64") {
    check_group_norm<Cuda>(DType::f64);
    Maker<Cuda> make(DType::f64, 614);
    check_conv2d_of<Cuda>(make, make.uniform({2, 3, 5, 7}), make.uniform({4, 3, 3, 3}), make.uniform({4}),
                          ConvOptions::same(3));
}
