#include "suites/pool.hpp"

#include <cmath>

#include "flowfar/backend/cpu/cpu.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("cpu: pooling") {
    check_pool2d<Cpu>(DType::f32);
}
TEST_CASE("cpu: pooling of bf16 tensors") {
    check_pool2d<Cpu>(DType::bf16);
}
TEST_CASE("the reference's pooling is the definition") {
    Maker<Reference> make(DType::f64, 612);
    for (const PoolOptions& p : pool_cases) {
        const Handle x = make.uniform({1, 1, 7, 5}, -2.0, -1.0).exact;  // negative: zeros must not win a maximum
        const std::vector<double> image = values_of<Reference>(x);
        std::vector<double> expected;
        const ConvOptions& o = p.around;
        const auto count = [&](Index n, Index before, Index after, Index size) {
            const double steps = static_cast<double>(n + before + after - size) / static_cast<double>(o.stride);
            const auto windows = static_cast<Index>(p.ceil ? std::ceil(steps) : std::floor(steps)) + 1;
            return (windows - 1) * o.stride >= n + before ? windows - 1 : windows;
        };
        const Index rows = count(7, o.top, o.bottom, p.height);
        const Index columns = count(5, o.left, o.right, p.width);
        for (Index window = 0; window < rows * columns; ++window) {
            double largest = -HUGE_VAL;
            double sum = 0.0;
            Index inside = 0;
            Index counted = 0;
            for (Index tap = 0; tap < p.height * p.width; ++tap) {
                const Index row = window / columns * o.stride - o.top + tap / p.width;
                const Index column = window % columns * o.stride - o.left + tap % p.width;
                counted += row < 7 + o.bottom && column < 5 + o.right ? 1 : 0;
                if (row >= 0 && row < 7 && column >= 0 && column < 5) {
                    const double pixel = image[static_cast<std::size_t>(row * 5 + column)];
                    largest = std::max(largest, pixel);
                    sum += pixel;
                    ++inside;
                }
            }
            expected.push_back(p.kind == PoolKind::max
                                   ? largest
                                   : sum / static_cast<double>(p.kind == PoolKind::mean ? counted : inside));
        }
        const std::string name = pool_name(x.extents(), p);
        INFO(name);
        const Handle y = Reference::pool2d(x, p);
        CHECK(y.extents() == Extents{1, 1, rows, columns});
        CHECK(difference_of(values_of<Reference>(y), expected, 1e-14) == "");
    }
}
TEST_CASE("cpu: a NaN is the maximum of its window, and the first of equals gets the gradient") {
    const float x[] = {1.0F, NAN, 2.0F, 5.0F, 5.0F, 5.0F};
    const Handle image = Cpu::from_host(x, {1, 1, 2, 3}, DType::f32);
    const PoolOptions pairs{PoolKind::max, 1, 3, {1, 0, 0, 0, 0}, false};
    const std::vector<double> y = values_of<Cpu>(Cpu::pool2d(image, pairs));
    CHECK(std::isnan(y[0]));
    CHECK(y[1] == 5.0);
    const Handle g = Cpu::full({1, 1, 2, 1}, DType::f32, 3.0);
    CHECK(values_of<Cpu>(Cpu::pool2d_backward(image, g, {1, 1, 2, 3}, pairs)) == std::vector<double>{0, 3, 0, 3, 0, 0});
}
