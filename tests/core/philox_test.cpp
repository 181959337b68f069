#include "flowfar/core/philox.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <doctest/doctest.h>
#include <initializer_list>
#include <vector>

using flowfar::fold;
using flowfar::normal_at;
using flowfar::Philox;
using flowfar::Random;
using flowfar::uniform_at;

namespace {

constexpr bool same(Philox::Counter a, std::array<std::uint32_t, 4> b) {
    return a.word[0] == b[0] && a.word[1] == b[1] && a.word[2] == b[2] && a.word[3] == b[3];
}

// The published known answers of Philox4x32-10 (Random123, kat_vectors).
static_assert(same(Philox::block({{0, 0, 0, 0}}, {{0, 0}}), {0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}));
static_assert(same(Philox::block({{~0U, ~0U, ~0U, ~0U}}, {{~0U, ~0U}}),
                   {0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}));
static_assert(same(Philox::block({{0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344}}, {{0xA4093822, 0x299F31D0}}),
                   {0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}));

std::vector<float> normals(std::uint64_t seed, std::size_t count) {
    std::vector<float> out(count);
    for (std::size_t i = 0; i < count; i += 4) {
        flowfar::normal_block(seed, i / 4, out.data() + i);
    }
    return out;
}

double normal_distribution(double x) {
    return 0.5 * std::erfc(-x / std::sqrt(2.0));
}

/// Largest distance between the empirical distribution and `distribution`, times sqrt(n).
template <class F>
double kolmogorov(std::vector<float> draws, F distribution) {
    std::sort(draws.begin(), draws.end());
    const double n = static_cast<double>(draws.size());
    double worst = 0;
    for (std::size_t i = 0; i < draws.size(); ++i) {
        const double expected = distribution(static_cast<double>(draws[i]));
        worst = std::max({worst, expected - static_cast<double>(i) / n, static_cast<double>(i + 1) / n - expected});
    }
    return worst * std::sqrt(n);
}

double float_ulps(float value, double truth) {
    const float near = std::fabs(static_cast<float>(truth));
    return std::fabs(static_cast<double>(value) - truth) / static_cast<double>(std::nextafter(near, 1e30F) - near);
}

constexpr std::uint64_t seed = 20240607;
constexpr std::size_t million = 1000000;

}  // namespace

TEST_CASE("seed and block number address the key and the counter") {
    CHECK(same(Philox::block(0, 0), {0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}));
    const Philox::Counter direct = Philox::block({{0x9ABCDEF0, 0x12345678, 0, 0}}, {{0x55667788, 0x11223344}});
    const Philox::Counter addressed = Philox::block(0x1122334455667788U, 0x123456789ABCDEF0U);
    CHECK(same(addressed, {direct.word[0], direct.word[1], direct.word[2], direct.word[3]}));
}

TEST_CASE("elements and blocks are the same draws") {
    for (const std::uint64_t block : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0x3FFFFFFFFFFFFFFF}}) {
        float uniform[4];
        float normal[4];
        flowfar::uniform_block(seed, block, uniform);
        flowfar::normal_block(seed, block, normal);
        for (std::uint64_t lane = 0; lane < 4; ++lane) {
            CHECK(uniform_at(seed, 4 * block + lane) == uniform[lane]);
            CHECK(normal_at(seed, 4 * block + lane) == normal[lane]);
        }
    }
}

TEST_CASE("elements 2j and 2j + 1 are the cosine and sine branch of one pair") {
    for (std::uint64_t pair = 0; pair < 100; ++pair) {
        const double u = static_cast<double>(uniform_at(seed, 2 * pair));
        const double v = static_cast<double>(uniform_at(seed, 2 * pair + 1));
        const double radius = std::sqrt(-2 * std::log(u));
        CHECK(static_cast<double>(normal_at(seed, 2 * pair)) ==
              doctest::Approx(radius * std::cos(2 * M_PI * v)).epsilon(1e-6));
        CHECK(static_cast<double>(normal_at(seed, 2 * pair + 1)) ==
              doctest::Approx(radius * std::sin(2 * M_PI * v)).epsilon(1e-6));
    }
}

TEST_CASE("bit patterns are frozen") {
    // Computed by this code once; every backend and platform has to reproduce them.
    struct Frozen {
        std::uint64_t seed;
        std::uint64_t index;
        std::uint32_t uniform;
        std::uint32_t normal;
    };
    for (const Frozen& want :
         {Frozen{0x0U, 0x0U, 0x3ECC4FD2U, 0x3F7DBB2FU}, Frozen{0x0U, 0x1U, 0x3F6169C5U, 0xBF6CB6B3U},
          Frozen{0x0U, 0x2U, 0x3F3C57ADU, 0xBF1E1BA1U}, Frozen{0x0U, 0x3U, 0x3F1B00DBU, 0xBEF6D1A9U},
          Frozen{0x1U, 0x0U, 0x3F63E807U, 0x3EC2C3E1U}, Frozen{0x2AU, 0xF4240U, 0x3F2B09D1U, 0xBF65E611U},
          Frozen{0x2AU, 0xF4241U, 0x3F00744BU, 0xBC240DEDU},
          Frozen{0xDEADBEEFCAFEF00DU, 0x123456789ABCDEFU, 0x3F03A9E7U, 0xBDF30309U},
          Frozen{0xDEADBEEFCAFEF00DU, 0xFFFFFFFFFFFFFFFFU, 0x3E91E4B6U, 0x3F7C3585U}}) {
        CAPTURE(want.seed);
        CAPTURE(want.index);
        CHECK(std::bit_cast<std::uint32_t>(uniform_at(want.seed, want.index)) == want.uniform);
        CHECK(std::bit_cast<std::uint32_t>(normal_at(want.seed, want.index)) == want.normal);
    }
}

TEST_CASE("the unit interval is open and symmetric") {
    CHECK(flowfar::detail::unit_interval(0) == 0x1p-24F);
    CHECK(flowfar::detail::unit_interval(~0U) == 1.0F - 0x1p-24F);
    for (const std::uint32_t x : {0U, 511U, 512U, 12345678U, 0x80000000U}) {
        CHECK(flowfar::detail::unit_interval(x) + flowfar::detail::unit_interval(~x) == 1.0F);
    }
}

TEST_CASE("log and sincospi stay within one ulp on everything Box-Muller can ask for") {
    double log_error = 0;
    double sin_error = 0;
    double cos_error = 0;
    for (std::uint32_t k = 0; k < (1U << 23); k += 3) {
        const float u = flowfar::detail::unit_interval(k << 9);
        log_error = std::max(log_error, float_ulps(flowfar::detail::exact_log(u), std::log(static_cast<double>(u))));
        const flowfar::detail::SinCos got = flowfar::detail::exact_sincospi(2.0F * u);
        sin_error = std::max(sin_error, float_ulps(got.sin, flowfar::cx::sinpi(2.0 * static_cast<double>(u))));
        cos_error = std::max(cos_error, float_ulps(got.cos, flowfar::cx::cospi(2.0 * static_cast<double>(u))));
    }
    MESSAGE("worst errors in ulp: log ", log_error, ", sin ", sin_error, ", cos ", cos_error);
    CHECK(log_error < 1.0);
    CHECK(sin_error < 1.0);
    CHECK(cos_error < 1.0);
    CHECK(flowfar::detail::exact_log(1.0F) == 0.0F);
    CHECK(flowfar::detail::exact_sincospi(0.5F).cos == 0.0F);
    CHECK(flowfar::detail::exact_sincospi(1.0F).cos == -1.0F);
    CHECK(flowfar::detail::exact_sincospi(2.0F).cos == 1.0F);
    CHECK(flowfar::detail::exact_sincospi(1.5F).sin == -1.0F);
}

TEST_CASE("a million normal draws have normal moments and distribution") {
    CAPTURE(seed);
    const std::vector<float> draws = normals(seed, million);
    double moment[5] = {};
    double neighbors = 0;
    std::size_t beyond[6] = {};
    for (std::size_t i = 0; i < million; ++i) {
        const double z = static_cast<double>(draws[i]);
        moment[1] += z;
        moment[2] += z * z;
        moment[3] += z * z * z;
        moment[4] += z * z * z * z;
        neighbors += i % 2 == 0 ? z * static_cast<double>(draws[i + 1]) : 0.0;
        for (int k = 1; k < 6; ++k) {
            beyond[k] += std::fabs(z) > k ? 1U : 0U;
        }
    }
    const double n = static_cast<double>(million);
    // Standard errors: 1, sqrt 2, sqrt 15, sqrt 96 over sqrt n; four of them are allowed.
    CHECK(std::fabs(moment[1] / n) < 4 / std::sqrt(n));
    CHECK(std::fabs(moment[2] / n - 1) < 4 * std::sqrt(2 / n));
    CHECK(std::fabs(moment[3] / n) < 4 * std::sqrt(15 / n));
    CHECK(std::fabs(moment[4] / n - 3) < 4 * std::sqrt(96 / n));
    CHECK(std::fabs(neighbors / (n / 2)) < 4 / std::sqrt(n / 2));
    for (int k = 1; k < 6; ++k) {
        const double expected = 2 * n * normal_distribution(-k);
        CAPTURE(k);
        CHECK(std::fabs(static_cast<double>(beyond[k]) - expected) < 4 * std::sqrt(expected) + 1);
    }
    // P(sqrt(n) D > 1.95) is 0.001
    CHECK(kolmogorov(draws, normal_distribution) < 1.95);
    CHECK(*std::max_element(draws.begin(), draws.end()) < 5.78F);
}

TEST_CASE("a million uniform draws are uniform") {
    CAPTURE(seed);
    std::vector<float> draws(million);
    for (std::size_t i = 0; i < million; i += 4) {
        flowfar::uniform_block(seed + 1, i / 4, draws.data() + i);
    }
    CHECK(kolmogorov(draws, [](double x) { return x; }) < 1.95);
}

TEST_CASE("streams of different seeds are uncorrelated") {
    const std::vector<float> a = normals(seed, 100000);
    for (const std::uint64_t other : {seed + 1, fold(seed, "noise"), fold(seed, 1), std::uint64_t{0}}) {
        const std::vector<float> b = normals(other, 100000);
        double sum = 0;
        for (std::size_t i = 0; i < a.size(); ++i) {
            sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
        }
        CAPTURE(other);
        CHECK(std::fabs(sum) < 4 * std::sqrt(100000.0));
    }
}

TEST_CASE("Random resumes at its position") {
    Random all(seed);
    for (int i = 0; i < 7; ++i) {
        (void)all.bits();
    }
    CHECK(all.position() == 7);
    Random resumed(seed, 7);
    for (int i = 0; i < 5; ++i) {
        CHECK(all.bits() == resumed.bits());
    }
    const Philox::Counter first = Philox::block(seed, 0);
    CHECK(Random(seed).bits() == (std::uint64_t{first.word[1]} << 32 | first.word[0]));
    CHECK(Random(seed, 1).bits() == (std::uint64_t{first.word[3]} << 32 | first.word[2]));
}

TEST_CASE("Random draws doubles with the right moments") {
    CAPTURE(seed);
    Random random(seed);
    double uniform = 0;
    double square = 0;
    const int count = 200000;
    for (int i = 0; i < count; ++i) {
        const double u = random.uniform();
        REQUIRE((u > 0 && u < 1));
        uniform += u;
        const double z = random.normal();
        square += z * z;
    }
    CHECK(random.position() == 3 * static_cast<std::uint64_t>(count));
    CHECK(std::fabs(uniform / count - 0.5) < 4 * std::sqrt(1.0 / 12 / count));
    CHECK(std::fabs(square / count - 1) < 4 * std::sqrt(2.0 / count));
}

TEST_CASE("below is unbiased and in range") {
    CAPTURE(seed);
    Random random(seed);
    std::array<int, 6> seen{};
    for (int i = 0; i < 60000; ++i) {
        ++seen.at(random.below(6));
    }
    double chi_square = 0;
    for (const int count : seen) {
        chi_square += (count - 10000.0) * (count - 10000.0) / 10000.0;
    }
    CHECK(chi_square < 20.5);  // 5 degrees of freedom: 0.1 %
    CHECK(random.below(1) == 0);
    // 2^63 + 1 forces a rejection for almost every second draw; a plain remainder would halve the chance of the top.
    const std::uint64_t large = (std::uint64_t{1} << 63) + 1;
    int upper = 0;
    for (int i = 0; i < 10000; ++i) {
        const std::uint64_t draw = random.below(large);
        REQUIRE(draw < large);
        upper += draw >= large / 2 ? 1 : 0;
    }
    CHECK(std::abs(upper - 5000) < 200);
    CHECK_THROWS_AS((void)random.below(0), flowfar::Error);
}

TEST_CASE("permutations are permutations, and fair") {
    CAPTURE(seed);
    Random random(seed);
    std::vector<std::int64_t> order = random.permutation(1000);
    CHECK_FALSE(std::is_sorted(order.begin(), order.end()));
    std::sort(order.begin(), order.end());
    for (std::size_t i = 0; i < order.size(); ++i) {
        REQUIRE(order[i] == static_cast<std::int64_t>(i));
    }
    std::array<int, 27> seen{};  // the 6 orders of 3 elements, read as numbers in base 3
    for (int i = 0; i < 60000; ++i) {
        const std::vector<std::int64_t> three = random.permutation(3);
        ++seen.at(static_cast<std::size_t>(9 * three[0] + 3 * three[1] + three[2]));
    }
    double chi_square = 0;
    for (const int index : {5, 7, 11, 15, 19, 21}) {
        const double difference = seen.at(static_cast<std::size_t>(index)) - 10000.0;
        chi_square += difference * difference / 10000.0;
    }
    CHECK(chi_square < 20.5);
    CHECK(random.permutation(0).empty());
    CHECK(random.permutation(1).size() == 1);
    CHECK_THROWS_AS((void)random.permutation(-1), flowfar::Error);
}

TEST_CASE("fold separates seeds, numbers and names") {
    static_assert(fold(1, "noise") == fold(1, "noise"));
    static_assert(fold(0, std::uint64_t{0}) != 0);
    std::vector<std::uint64_t> seeds;
    for (std::uint64_t parent = 0; parent < 50; ++parent) {
        for (std::uint64_t number = 0; number < 50; ++number) {
            seeds.push_back(fold(parent, number));
        }
        for (const char* name : {"", "a", "b", "ab", "noise", "time"}) {
            seeds.push_back(fold(parent, name));
        }
    }
    std::sort(seeds.begin(), seeds.end());
    CHECK(std::adjacent_find(seeds.begin(), seeds.end()) == seeds.end());
    CHECK(fold(fold(7, 1), 2) != fold(fold(7, 2), 1));
}
