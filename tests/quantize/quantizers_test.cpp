/// Every quantizer behind the concept: gradients, indices there and back, what FlowMo does with it.

#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <vector>

#include "flowfar/backend/reference.hpp"
#include "flowfar/quantize/bsq.hpp"
#include "flowfar/quantize/fsq.hpp"
#include "flowfar/quantize/kl.hpp"
#include "flowfar/quantize/lfq.hpp"

#include "approx.hpp"

namespace {

using namespace flowfar;
using A = Autodiff<Reference>;
using Code = Tensor<A, Shape<dyn, dyn, 12>, double>;

static_assert(Quantizer<Lfq<3>, Code> && Quantizer<Bsq<3>, Code> && Quantizer<Fsq<8, 5, 3>, Code> &&
              Quantizer<Kl, Code> && Quantizer<Unquantized, Code>);
static_assert(DiscreteQuantizer<Lfq<3>> && DiscreteQuantizer<Bsq<3>> && DiscreteQuantizer<Fsq<8, 5, 3>>);
static_assert(!DiscreteQuantizer<Kl> && !DiscreteQuantizer<Unquantized>);
static_assert(Codebook<8, 8, 4>::value<float>(9, 1) == -0.75F && BitCodebook<9>::size == 512);
static_assert(Codebook<5, 3, 7>::size == 105 && Codebook<5, 3, 7>::bits == 7);

Code some_code(std::uint64_t seed) {
    return detach(Code::normal({2, 3, 12}, seed));
}

/// Central differences of f at x along a direction, against the gradient's component.
template <class F, class G>
void check_slope(const Code& x, F&& f, G&& smooth) {
    const auto at = leaf(x);
    backward(f(at));
    const Code direction = some_code(99);
    const double h = 1e-5;
    const double difference =
        (smooth(Code(x + direction * h)).item() - smooth(Code(x - direction * h)).item()) / (2.0 * h);
    double slope = 0.0;
    const auto gradient_values = gradient(at).to_host();
    const auto along = direction.to_host();
    for (std::size_t i = 0; i < along.size(); ++i) {
        slope += gradient_values[i] * along[i];
    }
    CHECK(slope == doctest::Approx(difference).epsilon(1e-6));
}

}  // namespace

TEST_CASE("gradients: straight through the rounding, exact elsewhere") {
    const Code x = some_code(1);
    const Code weights = some_code(2);
    SUBCASE("lfq") {
        check_slope(
            x, [&](const auto& c) { return sum(Lfq<3>::quantize(c) * weights); },
            [&](const auto& c) { return sum(c * weights); });
    }
    SUBCASE("fsq: as the bounded code") {
        using Q = Fsq<8, 5, 3>;
        const auto scaled = [&](const auto& c) {
            std::vector<double> each;
            for (const double half : {4.0, 2.0, 1.0}) {
                each.insert(each.end(), 4, 1.0 / half);
            }
            return sum(Q::bounded(c) * Tensor<A, Shape<12>, double>::from_host(each, {12}) * weights);
        };
        check_slope(x, [&](const auto& c) { return sum(Q::quantize(c) * weights); }, scaled);
    }
    SUBCASE("bsq: as the projection") {
        using Q = Bsq<3>;
        check_slope(
            x, [&](const auto& c) { return sum(Q::quantize(c) * weights); },
            [&](const auto& c) { return sum(from_codewords(Q::unit(c), c) * weights); });
        const QuantizerWeights soft{.sharpness = 1.5};
        const auto entropies = [&](const auto& c) {
            const auto loss = Q::loss(c, soft);
            return loss.sample_entropy - loss.codebook_entropy;
        };
        check_slope(x, entropies, entropies);
    }
    SUBCASE("kl: a sample, and the divergence") {
        const auto total = [&](const auto& c) {
            return Kl::loss(c, {.kl = 0.3}).total + sum(square(Kl::quantize(c, 5)));
        };
        check_slope(x, total, total);
    }
    SUBCASE("none") {
        const auto total = [&](const auto& c) { return sum(Unquantized::quantize(c) * weights); };
        check_slope(x, total, total);
        CHECK(Unquantized::loss(x).total.item() == 0.0);
    }
}

TEST_CASE("indices name the code that quantize gives") {
    const auto check = [](auto quantizer, Index bits) {
        using Q = decltype(quantizer);
        const Code x = some_code(3);
        const Tokens tokens = Q::tokens(x);
        CHECK(tokens.per_token == 4);
        CHECK(tokens.bits == bits);
        const auto again = Q::template code<double>(tokens);
        CHECK(testing::relative_l2(again, Q::quantize(x).to_host()) < 1e-15);
        auto values = x.to_host();
        values[7] = std::numeric_limits<double>::quiet_NaN();
        CHECK_THROWS_WITH_AS(static_cast<void>(Q::tokens(Code::from_host(values, {2, 3, 12}))),
                             "tokens: value 7 of the code is nan; are the encoder's weights whole?", Error);
    };
    check(Lfq<3>{}, 3);
    check(Bsq<3>{}, 3);
    check(Fsq<8, 5, 3>{}, 7);
}

TEST_CASE("an index outside the codebook is an error") {
    using Q = Fsq<8, 5, 3>;  // 120 codewords of 7 bits
    Tokens tokens{1, 1, 1, 7, {119}};
    CHECK(Q::code<double>(tokens) == std::vector<double>{0.75, 1.0, 1.0});
    tokens.indices[0] = 120;
    CHECK_THROWS_WITH_AS(static_cast<void>(Q::code<double>(tokens)), "tokens: index 0 is 120, expected 0 to 119",
                         Error);
    tokens.bits = 8;
    CHECK_THROWS_WITH_AS(static_cast<void>(Q::code<double>(tokens)), "tokens: expected indices of 7 bits, found 8",
                         Error);
}

TEST_CASE("a codeword of zeros has a place on no sphere, and no infinite gradient") {
    const auto zero = leaf(Code::zeros({1, 1, 12}));
    backward(Bsq<3>::loss(zero).total + sum(Bsq<3>::quantize(zero)));
    for (const double value : gradient(zero).to_host()) {
        CHECK(std::isfinite(value));
    }
}

TEST_CASE("the released weight of the divergence is 1, the limits of its logarithms are -30 and 20") {
    std::vector<double> values(12, 0.0);
    values[6] = -40.0;
    values[7] = 25.0;
    const auto x = Code::from_host(values, {1, 1, 12});
    const double want = 0.5 * ((std::exp(-30.0) - 1.0 + 30.0) + (std::exp(20.0) - 1.0 - 20.0));
    CHECK(Kl::loss(x, {.kl = 1.0}).total.item() == doctest::Approx(want).epsilon(1e-12));
    CHECK(Kl::loss(x).total.item() == doctest::Approx(1e-6 * want).epsilon(1e-12));
    CHECK(Kl::quantize(x).to_host() == std::vector<double>(6, 0.0));
    CHECK(Kl::quantize(x, 1).to_host() != Kl::quantize(x, 2).to_host());
}
