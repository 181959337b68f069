#include "suites/pool.hpp"

#include <cmath>

#include "flowfar/backend/cuda/cuda.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cuda: pooling") {
    check_pool2d<Cuda>(DType::f32);
}
TEST_CASE("cuda: pooling of bf16 tensors") {
    check_pool2d<Cuda>(DType::bf16);
}
TEST_CASE("cuda: a NaN is the maximum of its window, and the first of equals gets the gradient") {
    const float x[] = {1.0F, NAN, 2.0F, 5.0F, 5.0F, 5.0F};
    const Handle image = Cuda::from_host(x, {1, 1, 2, 3}, DType::f32);
    const PoolOptions pairs{PoolKind::max, 1, 3, {1, 0, 0, 0, 0}, false};
    const std::vector<double> y = values_of<Cuda>(Cuda::pool2d(image, pairs));
    CHECK(std::isnan(y[0]));
    CHECK(y[1] == 5.0);
    const Handle g = Cuda::full({1, 1, 2, 1}, DType::f32, 3.0);
    CHECK(values_of<Cuda>(Cuda::pool2d_backward(image, g, {1, 1, 2, 3}, pairs)) ==
          std::vector<double>{0, 3, 0, 3, 0, 0});
}
