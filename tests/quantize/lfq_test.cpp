#include "flowfar/quantize/lfq.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <sstream>
#include <vector>

#include "flowfar/backend/reference.hpp"
#include "flowfar/quantize/tokens.hpp"

#include "approx.hpp"

namespace {

using namespace flowfar;
using A = Autodiff<Reference>;

template <Index F>
using Code = Tensor<A, Shape<dyn, dyn, F>, double>;

/// The definition over all 2^Bits sign patterns.
template <Index Bits, Index F>
auto direct_loss(const Code<F>& code) {
    constexpr Index patterns = Index{1} << Bits;
    std::vector<double> table(static_cast<std::size_t>(Bits * patterns));
    for (Index c = 0; c < patterns; ++c) {
        for (Index b = 0; b < Bits; ++b) {
            table[static_cast<std::size_t>(b * patterns + c)] = ((c >> b) & 1) != 0 ? 1.0 : -1.0;
        }
    }
    const auto book = Tensor<A, Shape<Bits, patterns>, double>::from_host(table, {Bits, patterns});
    const auto words = codewords<Bits>(code);
    const auto log_p = log_softmax(matmul(words, book, 2.0 / 0.1));
    const auto p = exp(log_p);
    const auto average = mean<0>(p);
    const auto sample = -sum(p * log_p) / static_cast<double>(words.extent(0));
    return std::pair{sample, -sum(average * log(average + 1e-5))};
}

template <Index Bits, Index F>
void check_against_definition(double scale) {
    const auto values = Code<F>::normal({2, 5, F}, 11) * scale;
    const auto factorised_code = leaf(detach(values));
    const auto direct_code = leaf(detach(values));
    const auto found = Lfq<Bits>::loss(factorised_code);
    const auto [sample, book] = direct_loss<Bits, F>(direct_code);
    CHECK(found.sample_entropy.item() == doctest::Approx(sample.item()).epsilon(1e-10));
    CHECK(found.codebook_entropy.item() == doctest::Approx(book.item()).epsilon(1e-10));
    backward(found.sample_entropy - found.codebook_entropy);
    backward(sample - book);
    CHECK(testing::relative_l2(gradient(factorised_code).to_host(), gradient(direct_code).to_host()) < 1e-9);
}

TEST_CASE("the factorised entropies and their gradients equal the sums over the whole codebook") {
    check_against_definition<1, 2>(0.1);
    check_against_definition<2, 2>(0.05);
    check_against_definition<3, 6>(0.1);
    check_against_definition<6, 6>(0.03);
    check_against_definition<9, 18>(0.05);
    check_against_definition<9, 18>(1.0);  // saturated
}

TEST_CASE("a codebook of 2^18 patterns needs no table of patterns") {
    const auto code = leaf(Code<18>::normal({1, 64, 18}, 3) * 0.05);
    const auto loss = Lfq<18>::loss(code);
    backward(loss.total);
    CHECK(std::isfinite(loss.total.item()));
    // 64 words cannot spread over more than 64 patterns' worth of entropy beyond their own.
    CHECK(loss.codebook_entropy.item() <= std::log(64.0) + loss.sample_entropy.item() + 1e-9);
    for (const double g : gradient(code).to_host()) {
        CHECK(std::isfinite(g));
    }
}

TEST_CASE("extreme codes give finite losses and gradients") {
    const auto code = leaf(Code<9>::normal({1, 8, 9}, 3) * 1e4);
    const auto loss = Lfq<9>::loss(code);
    backward(loss.sample_entropy - loss.codebook_entropy);
    CHECK(loss.sample_entropy.item() == doctest::Approx(0.0));
    for (const double g : gradient(code).to_host()) {
        CHECK(std::isfinite(g));
    }
}

TEST_CASE("quantization gives signs, zero counts as negative, and gradients pass straight through") {
    const auto code = leaf(Code<3>::from_host(std::vector<double>{-2.0, 0.0, 1e-30}, {1, 1, 3}));
    const auto q = Lfq<3>::quantize(code);
    CHECK(q.to_host() == std::vector<double>{-1.0, -1.0, 1.0});
    backward(sum(q * Code<3>::from_host(std::vector<double>{1.0, 2.0, 3.0}, {1, 1, 3})));
    CHECK(gradient(code).to_host() == std::vector<double>{1.0, 2.0, 3.0});
}

TEST_CASE("commitment is the mean squared distance to the signs, with the signs held fixed") {
    const auto code = leaf(Code<2>::from_host(std::vector<double>{0.5, -3.0}, {1, 1, 2}));
    const auto loss = Lfq<2>::loss(code);
    CHECK(loss.commitment.item() == doctest::Approx((0.25 + 4.0) / 2));
    backward(loss.commitment);
    CHECK(gradient(code).to_host()[0] == doctest::Approx(-0.5));
    CHECK(gradient(code).to_host()[1] == doctest::Approx(-2.0));
}

TEST_CASE("tokens and codes are the same thing") {
    const Index context = 6;
    const Index bits = 3;
    const auto values = Tensor<Reference, Shape<dyn, dyn, 6>, double>::normal({2, 4, 6}, 5).to_host();
    const Tokens tokens = Tokens::from_code<double>(values, 2, 4, context, bits);
    CHECK(tokens.per_token == 2);
    CHECK(tokens.bits_per_image() == 24);
    const std::vector<double> code = tokens.to_code<double>();
    for (std::size_t i = 0; i < code.size(); ++i) {
        CHECK(code[i] == (values[i] > 0 ? 1.0 : -1.0));
    }
    // Bit g of codeword j of a token is value g·per_token + j.
    CHECK(((tokens.indices[1] >> 2) & 1U) == static_cast<unsigned>(values[2 * 2 + 1] > 0));
    CHECK(Tokens::from_code<double>(code, 2, 4, context, bits) == tokens);
}

TEST_CASE("tokens print their sizes and first indices") {
    std::ostringstream out;
    out << Tokens{1, 3, 1, 4, {7, 0, 15}} << "; " << Tokens{1, 9, 1, 2, std::vector<std::uint32_t>(9, 2)};
    CHECK(out.str() == "1 x 3 tokens of 1 x 4 bits: 7 0 15; 1 x 9 tokens of 1 x 2 bits: 2 2 2 2 2 2 2 2 ...");
}

TEST_CASE("impossible tokens are refused") {
    Tokens tokens{1, 2, 1, 3, {7, 8}};
    CHECK_THROWS_WITH_AS(tokens.check(), doctest::Contains("index 8 does not fit into 3 bits"), Error);
    tokens.indices = {7};
    CHECK_THROWS_WITH_AS(tokens.check(), doctest::Contains("expected 2 indices, found 1"), Error);
    const std::vector<float> code(12);
    CHECK_THROWS_AS(static_cast<void>(Tokens::from_code<float>(code, 1, 2, 6, 4)), Error);
    CHECK_THROWS_AS(static_cast<void>(Tokens::from_code<float>(code, 1, 3, 6, 3)), Error);
    for (const float value : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
        std::vector<float> broken(12);
        broken[7] = value;
        CHECK_THROWS_WITH_AS(static_cast<void>(Tokens::from_code<float>(broken, 1, 2, 6, 3)),
                             doctest::Contains("tokens: value 7 of the code is "), Error);
    }
}

}  // namespace
