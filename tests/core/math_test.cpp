#include <cmath>
#include <doctest/doctest.h>
#include <initializer_list>
#include <limits>

#include "flowfar/core/constexpr_math.hpp"

namespace cx = flowfar::cx;

namespace {

/// Distance of `value` from `truth` in units of the last place of `truth`.
double ulps(double value, long double truth) {
    const double near = std::fabs(static_cast<double>(truth));
    const double unit = std::nextafter(near, std::numeric_limits<double>::infinity()) - near;
    return static_cast<double>(std::fabs(static_cast<long double>(value) - truth) / static_cast<long double>(unit));
}

struct Worst {
    double error = 0;
    double at = 0;

    void see(double x, double value, long double truth) {
        const double here = ulps(value, truth);
        if (!(here <= error)) {
            error = here;
            at = x;
        }
    }
};

// Used at compile time, or these lines do not compile.
static_assert(cx::sqrt(2.0) == 1.4142135623730951);
static_assert(cx::sqrt(144.0) == 12.0);
static_assert(cx::sqrt(0.0) == 0.0);
static_assert(cx::exp(0.0) == 1.0);
static_assert(cx::exp(1.0) == 2.718281828459045);
static_assert(cx::exp(-800.0) == 0.0 && cx::exp(800.0) == cx::infinity);
static_assert(cx::log(1.0) == 0.0);
static_assert(cx::log(0.0) == -cx::infinity);
static_assert(cx::log(10.0) == 2.302585092994046);
static_assert(cx::pow(2.0, 10.0) == 1024.0);
static_assert(cx::pow(0.5, 0.5) == 0.7071067811865476);
static_assert(cx::pow(0.0, 0.25) == 0.0 && cx::pow(0.0, -1.0) == cx::infinity && cx::pow(7.0, 0.0) == 1.0);
static_assert(cx::sin(0.5) == 0.479425538604203);
static_assert(cx::cos(0.5) == 0.8775825618903728);
static_assert(cx::sinpi(1.0) == 0.0 && cx::cospi(0.5) == 0.0 && cx::cospi(1.0) == -1.0 && cx::sinpi(0.5) == 1.0);
static_assert(cx::floor(-1.5) == -2.0 && cx::floor(3.0) == 3.0 && cx::floor(1e300) == 1e300);
static_assert(cx::round_even(0.5) == 0.0 && cx::round_even(1.5) == 2.0 && cx::round_even(2.5) == 2.0);
static_assert(cx::round_even(-0.5) == 0.0 && cx::round_even(-1.5) == -2.0 && cx::round_even(2.51) == 3.0);

}  // namespace

TEST_CASE("sqrt agrees with the correctly rounded one") {
    int different = 0;
    for (int i = 0; i < 200000; ++i) {
        const double x = std::ldexp(1.0 + i / 200000.0 * 3.0, (i % 600) - 300);
        different += cx::sqrt(x) == std::sqrt(x) ? 0 : 1;
    }
    CHECK(different == 0);
    CHECK(cx::sqrt(5e-324) == std::sqrt(5e-324));
    CHECK(cx::sqrt(1.7e308) == std::sqrt(1.7e308));
    CHECK(std::isnan(cx::sqrt(-1.0)));
    CHECK(std::isnan(cx::sqrt(cx::quiet_nan)));
    CHECK(cx::sqrt(cx::infinity) == cx::infinity);
}

TEST_CASE("exp stays within one ulp") {
    Worst worst;
    for (int i = -708000; i <= 709000; i += 3) {
        const double x = i / 1000.0 + 1e-7;
        worst.see(x, cx::exp(x), std::exp(static_cast<long double>(x)));
    }
    for (int i = -20000; i <= 20000; ++i) {
        const double x = i / 20000.0;
        worst.see(x, cx::exp(x), std::exp(static_cast<long double>(x)));
    }
    CAPTURE(worst.at);
    MESSAGE("worst error in ulp: ", worst.error);
    CHECK(worst.error < 1.0);
    CHECK(cx::exp(-740.0) == doctest::Approx(std::exp(-740.0)).epsilon(0.05));  // subnormal
    CHECK(std::isnan(cx::exp(cx::quiet_nan)));
}

TEST_CASE("log stays within one ulp") {
    Worst worst;
    for (int i = 1; i < 300000; ++i) {
        const double x = i / 100000.0;
        worst.see(x, cx::log(x), std::log(static_cast<long double>(x)));
        const double wide = std::ldexp(x, (i % 2000) - 1000);
        worst.see(wide, cx::log(wide), std::log(static_cast<long double>(wide)));
        const double near_one = 1.0 + (i - 150000) * 1e-12;
        worst.see(near_one, cx::log(near_one), std::log(static_cast<long double>(near_one)));
    }
    worst.see(5e-324, cx::log(5e-324), std::log(static_cast<long double>(5e-324)));
    CAPTURE(worst.at);
    MESSAGE("worst error in ulp: ", worst.error);
    CHECK(worst.error < 1.0);
    CHECK(cx::log(cx::infinity) == cx::infinity);
    CHECK(std::isnan(cx::log(-1.0)));
}

TEST_CASE("pow stays within one ulp, with large exponents too") {
    Worst worst;
    for (int i = 1; i < 400; ++i) {
        for (const double y : {0.25, 0.5, 2.0, 4.0, -1.0, 1.0 / 3.0, 17.3, -100.7, 3.5e-3}) {
            const double x = i / 133.0;
            const long double truth = std::pow(static_cast<long double>(x), static_cast<long double>(y));
            if (truth < 1e300L && truth > 1e-300L) {
                worst.see(x, cx::pow(x, y), truth);
            }
        }
    }
    CAPTURE(worst.at);
    MESSAGE("worst error in ulp: ", worst.error);
    CHECK(worst.error < 1.0);
    CHECK(cx::pow(10.0, 400.0) == cx::infinity);
    CHECK(cx::pow(10.0, -400.0) == 0.0);
    CHECK(cx::pow(cx::infinity, 2.0) == cx::infinity);
    CHECK(cx::pow(cx::infinity, -2.0) == 0.0);
    CHECK(std::isnan(cx::pow(-8.0, 0.5)));
}

TEST_CASE("sin and cos stay within one ulp up to 2^20") {
    Worst sine;
    Worst cosine;
    for (int i = -200000; i <= 200000; ++i) {
        const double near = i / 10000.0;
        const double far = i * 5.2428;
        for (const double x : {near, far}) {
            sine.see(x, cx::sin(x), std::sin(static_cast<long double>(x)));
            cosine.see(x, cx::cos(x), std::cos(static_cast<long double>(x)));
        }
    }
    const double close = 1.5707963267948966;  // the nearest double to pi/2: cos is the rounding error of pi/2
    cosine.see(close, cx::cos(close), std::cos(static_cast<long double>(close)));
    CAPTURE(sine.at);
    CAPTURE(cosine.at);
    MESSAGE("worst errors in ulp: ", sine.error, " and ", cosine.error);
    CHECK(sine.error < 1.0);
    CHECK(cosine.error < 1.0);
}

TEST_CASE("sinpi and cospi stay within one ulp and are exact at multiples of a half") {
    Worst sine;
    Worst cosine;
    const long double pi = 3.14159265358979323846264338327950288L;
    for (int i = -8192; i <= 8192; ++i) {
        const double x = i / 16384.0;  // i/16384 is exact, so sin(pi x) in long double is good to 2^-63
        sine.see(x, cx::sinpi(x), std::sin(pi * static_cast<long double>(x)));
        if (i != -8192 && i != 8192) {
            cosine.see(x, cx::cospi(x), std::sin(pi * (0.5L - std::fabs(static_cast<long double>(x)))));
        }
        for (int turn = -6; turn <= 6; turn += 2) {
            REQUIRE(cx::sinpi(x + turn) == cx::sinpi(x));
            REQUIRE(cx::cospi(x + turn) == cx::cospi(x));
            REQUIRE(cx::sinpi(x + turn + 1) == -cx::sinpi(x));
        }
    }
    CAPTURE(sine.at);
    CAPTURE(cosine.at);
    MESSAGE("worst errors in ulp: ", sine.error, " and ", cosine.error);
    CHECK(sine.error < 1.0);
    CHECK(cosine.error < 1.0);
}
