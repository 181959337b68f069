// Arithmetic of which several kernels promise the same bits: compilers for devices may fuse a product with a sum or
// not, kernel by kernel, so the source must say which. A number that knows whether it is a product finds what is left
// open; the emulator could not, as host code is compiled without contraction.
#include <doctest/doctest.h>

#include "flowfar/backend/cuda/kernels/rows/optim.cuh"
#include "flowfar/core/functors/unary_functor.hpp"

namespace flowfar::testing {

/// A float of which sums of unrounded products are counted.
struct Watched {
    float value = 0.0F;
    bool product = false;

    static inline int open = 0;

    friend Watched operator*(Watched a, Watched b) { return {a.value * b.value, true}; }
    friend Watched operator/(Watched a, Watched b) { return {a.value / b.value}; }
    friend Watched operator-(Watched a) { return {-a.value, a.product}; }
    friend Watched operator+(Watched a, Watched b) {
        open += a.product || b.product ? 1 : 0;
        return {a.value + b.value};
    }
    friend Watched operator-(Watched a, Watched b) { return a + -b; }
    friend Watched sqrt(Watched a) { return {std::sqrt(a.value)}; }
};

}  // namespace flowfar::testing

namespace flowfar::detail {

template <>
inline testing::Watched fused_product(testing::Watched a, testing::Watched b, testing::Watched c) {
    testing::Watched::open += c.product ? 1 : 0;  // which of the two products is fused?
    return {std::fma(a.value, b.value, c.value)};
}
template <>
inline testing::Watched rounded_product(testing::Watched a, testing::Watched b) {
    return {a.value * b.value};
}

}  // namespace flowfar::detail

namespace flowfar::testing {

TEST_CASE("cuda: steps of optimizers leave no rounding open") {
    Watched::open = 0;
    Watched p{1.0F};
    Watched m{0.25F};
    Watched v{0.5F};
    const cuda::AdamStep<Watched> step{{0.1F}, {1.1F}, {0.9F}, {0.01F}, {2.0F}, {0.1F}, {0.05F}, {1e-3F}};
    step(p, {0.5F}, m, v);
    CHECK(Watched::open == 0);
    const cuda::AdamStep<float> plain{0.1F, 1.1F, 0.9F, 0.01F, 2.0F, 0.1F, 0.05F, 1e-3F};
    float p2 = 1.0F;
    float m2 = 0.25F;
    float v2 = 0.5F;
    plain(p2, 0.5F, m2, v2);
    CHECK(p.value == p2);
    CHECK(v.value == v2);
    static_cast<void>(cuda::LerpMap<Watched>{{0.3F}}({1.0F}, {2.0F}));
    CHECK(Watched::open == 0);
    static_cast<void>(UnaryFunctor<UnaryOp::affine>::forward(Watched{1.0F}, Watched{2.0F}, Watched{3.0F}));
    CHECK(Watched::open == 0);
    static_cast<void>(Watched{1.0F} * Watched{2.0F} + Watched{3.0F});
    CHECK(Watched::open == 1);  // would be found
}

}  // namespace flowfar::testing
