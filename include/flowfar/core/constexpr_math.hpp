#pragma once

/// Elementary functions in double that also work at compile time (<cmath> does so only from C++26 on), for tables of
/// schedules. Errors stay below 1 ulp and do not depend on the C library.

#include <bit>
#include <cstdint>
#include <limits>

namespace flowfar::cx {

inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline constexpr double quiet_nan = std::numeric_limits<double>::quiet_NaN();
inline constexpr double pi = 0x1.921fb54442d18p+1;

namespace detail {

/// An unevaluated sum high + low with |low| at most half an ulp of high.
struct Pair {
    double high;
    double low;
};

/// a + b, exactly (Knuth).
[[nodiscard]] constexpr Pair exact_sum(double a, double b) {
    const double sum = a + b;
    const double part = sum - a;
    return {sum, (a - (sum - part)) + (b - part)};
}

/// a * b, exactly (Dekker; Veltkamp splitting into halves of 26 bits). |a| and |b| below 2^995.
[[nodiscard]] constexpr Pair exact_product(double a, double b) {
    constexpr double splitter = 0x1p27 + 1;
    const double ca = splitter * a;
    const double cb = splitter * b;
    const double a_high = ca - (ca - a);
    const double b_high = cb - (cb - b);
    const double a_low = a - a_high;
    const double b_low = b - b_high;
    const double product = a * b;
    return {product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low};
}

[[nodiscard]] constexpr Pair add(Pair a, Pair b) {
    const Pair sum = exact_sum(a.high, b.high);
    return exact_sum(sum.high, sum.low + (a.low + b.low));
}

[[nodiscard]] constexpr Pair multiply(Pair a, Pair b) {
    const Pair product = exact_product(a.high, b.high);
    return exact_sum(product.high, product.low + (a.high * b.low + a.low * b.high));
}

[[nodiscard]] constexpr Pair divide(Pair a, Pair b) {
    const double quotient = a.high / b.high;
    const Pair back = multiply({quotient, 0}, b);
    const Pair rest = add(a, {-back.high, -back.low});
    return exact_sum(quotient, rest.high / b.high);
}

/// x = fraction * 2^exponent with fraction in [sqrt(1/2), sqrt 2), for finite x > 0.
struct Split {
    double fraction;
    int exponent;
};

[[nodiscard]] constexpr Split split(double x) {
    int exponent = 0;
    if (x < std::numeric_limits<double>::min()) {  // subnormal
        x *= 0x1p54;
        exponent = -54;
    }
    constexpr std::uint64_t sqrt_half = 0x3FE6A09E667F3BCDU;
    const std::uint64_t bits = std::bit_cast<std::uint64_t>(x) - sqrt_half;
    exponent += static_cast<int>(static_cast<std::int64_t>(bits) >> 52);
    return {std::bit_cast<double>((bits & 0xFFFFFFFFFFFFFU) + sqrt_half), exponent};
}

/// 2^exponent for exponents of normal numbers.
[[nodiscard]] constexpr double power_of_two(int exponent) {
    return std::bit_cast<double>(static_cast<std::uint64_t>(exponent + 1023) << 52);
}

/// sin(x + low) for |x| <= pi/4 and tiny low: Taylor series; the first omitted term is below 2^-62.
[[nodiscard]] constexpr double sin_kernel(double x, double low) {
    const double z = x * x;
    double p = 1.0 / 355687428096000.0;
    p = p * z - 1.0 / 1307674368000.0;
    p = p * z + 1.0 / 6227020800.0;
    p = p * z - 1.0 / 39916800.0;
    p = p * z + 1.0 / 362880.0;
    p = p * z - 1.0 / 5040.0;
    p = p * z + 1.0 / 120.0;
    p = p * z - 1.0 / 6.0;
    return x + (x * z * p + low * (1.0 - 0.5 * z));
}

/// cos(x + low) for |x| <= pi/4 and tiny low: Taylor series; the first omitted term is below 2^-58.
[[nodiscard]] constexpr double cos_kernel(double x, double low) {
    const double z = x * x;
    double p = 1.0 / 20922789888000.0;
    p = p * z - 1.0 / 87178291200.0;
    p = p * z + 1.0 / 479001600.0;
    p = p * z - 1.0 / 3628800.0;
    p = p * z + 1.0 / 40320.0;
    p = p * z - 1.0 / 720.0;
    p = p * z + 1.0 / 24.0;
    const double half = 0.5 * z;
    const double lead = 1.0 - half;
    return lead + (((1.0 - lead) - half) + (z * z * p - x * low));
}

/// An angle as quadrant * pi/2 + high + low with |high| <= pi/4.
struct Angle {
    std::int64_t quadrant;
    double high;
    double low;
};

[[nodiscard]] constexpr double sine(Angle angle) {
    const double value =
        angle.quadrant % 2 != 0 ? cos_kernel(angle.high, angle.low) : sin_kernel(angle.high, angle.low);
    return (angle.quadrant & 2) != 0 ? -value : value;
}

[[nodiscard]] constexpr std::int64_t nearest(double x) {
    return static_cast<std::int64_t>(x < 0 ? x - 0.5 : x + 0.5);
}

/// For |x| <= 2^20: pi/2 in three parts, so that the products with the quadrant are exact and the rest has 2^-99.
[[nodiscard]] constexpr Angle reduce(double x) {
    const std::int64_t quadrant = nearest(x * 0x1.45f306dc9c883p-1);
    const double n = static_cast<double>(quadrant);
    const Pair first = exact_sum(x - n * 0x1.921fb5440p+0, -(n * 0x1.0b4611a60p-34));
    const Pair rest = exact_sum(first.high, first.low - n * 0x1.3198a2e037073p-69);
    return {quadrant, rest.high, rest.low};
}

/// For the angle pi x: the quadrant and the remainder are exact before the multiplication with pi.
[[nodiscard]] constexpr Angle reduce_pi(double x) {
    const std::int64_t quadrant = nearest(2.0 * x);
    const double remainder = x - 0.5 * static_cast<double>(quadrant);
    const Pair angle = exact_product(remainder, pi);
    return {quadrant, angle.high, angle.low + remainder * 0x1.1a62633145c07p-53};
}

/// log x to about 100 bits for finite x > 0: 2 atanh(s) = 2 (s + s^3/3 + s^5/5 + ...) with s = (f - 1) / (f + 1).
[[nodiscard]] constexpr Pair log_pair(double x) {
    const Split parts = split(x);
    const Pair s = divide({parts.fraction - 1.0, 0}, exact_sum(parts.fraction, 1.0));
    const Pair z = multiply(s, s);
    Pair sum{0, 0};
    for (int k = 37; k >= 1; k -= 2) {
        sum = add(multiply(sum, z), divide({1, 0}, {static_cast<double>(k), 0}));
    }
    const Pair fraction = multiply({2.0 * s.high, 2.0 * s.low}, sum);
    const Pair exponent =
        multiply({static_cast<double>(parts.exponent), 0}, {0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56});
    return add(exponent, fraction);
}

}  // namespace detail

[[nodiscard]] constexpr double abs(double x) {
    return x < 0 ? -x : x;
}

/// Largest integer not above x.
[[nodiscard]] constexpr double floor(double x) {
    if (!(abs(x) < 0x1p52)) {
        return x;  // already an integer, infinite or NaN
    }
    const double whole = static_cast<double>(static_cast<std::int64_t>(x));
    return whole > x ? whole - 1.0 : whole;
}

/// Nearest integer, ties to even.
[[nodiscard]] constexpr double round_even(double x) {
    const double below = floor(x);
    const double rest = x - below;
    const bool odd = below - 2.0 * floor(0.5 * below) != 0;
    return rest > 0.5 || (rest == 0.5 && odd) ? below + 1.0 : below;
}

/// Square root: Newton's iteration, then one step with the exact residual.
[[nodiscard]] constexpr double sqrt(double x) {
    if (!(x > 0) || x == infinity) {
        return x < 0 ? quiet_nan : x;
    }
    const detail::Split parts = detail::split(x);
    const bool odd = parts.exponent % 2 != 0;
    const double y = odd ? 2.0 * parts.fraction : parts.fraction;
    double root = 0.5 * (1.0 + y);
    for (int i = 0; i < 5; ++i) {
        root = 0.5 * (root + y / root);
    }
    const detail::Pair square = detail::exact_product(root, root);
    root += ((y - square.high) - square.low) / (2.0 * root);
    return root * detail::power_of_two((parts.exponent - (odd ? 1 : 0)) / 2);
}

namespace detail {

/// e^(x + low) for tiny low: x = k log 2 + r with |r| <= 0.35 and the Taylor series in r, whose first omitted term is
/// below 2^-57. 1 + r is kept exactly, so that little more than the last rounding remains.
[[nodiscard]] constexpr double exp_sum(double x, double low) {
    if (x != x || x > 709.79) {
        return x != x ? x : infinity;
    }
    if (x < -745.14) {
        return 0;
    }
    const int k = static_cast<int>(nearest(x * 0x1.71547652b82fep+0));
    const Pair reduced = exact_sum(x - k * 0x1.62e42fefp-1, -(k * 0x1.473de6af278edp-34));
    const double r = reduced.high;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    const Pair lead = exact_sum(1.0, r);
    const double curve = r * r * p;
    const double value = lead.high + (lead.low + (curve + (reduced.low + low) * (lead.high + curve)));
    const int half = k / 2;  // two factors: 2^k itself may be out of range
    return value * power_of_two(half) * power_of_two(k - half);
}

}  // namespace detail

/// e^x.
[[nodiscard]] constexpr double exp(double x) {
    return detail::exp_sum(x, 0);
}

/// Natural logarithm.
[[nodiscard]] constexpr double log(double x) {
    if (!(x > 0) || x == infinity) {
        return x == 0 ? -infinity : (x < 0 ? quiet_nan : x);
    }
    const detail::Split parts = detail::split(x);
    const double f = parts.fraction - 1.0;
    const double s = f / (2.0 + f);
    const double z = s * s;
    double p = 2.0 / 23.0;
    for (int k = 21; k >= 3; k -= 2) {
        p = p * z + 2.0 / k;
    }
    // log(1 + f) = 2 s + s z p, and 2 s = f - s f: written around f, whose value is exact
    const double half_square = 0.5 * f * f;
    const double rest = s * (half_square + z * p);
    const double e = parts.exponent;
    return e * 0x1.62e42fefp-1 - ((half_square - (rest + e * 0x1.473de6af278edp-34)) - f);
}

/// x^y for x >= 0 (NaN for x < 0); x^0 = 1.
[[nodiscard]] constexpr double pow(double x, double y) {
    if (y == 0 || x == 1) {
        return 1;
    }
    if (x != x || y != y || x < 0) {
        return quiet_nan;
    }
    if (x == 0 || x == infinity) {
        return (x == 0) == (y > 0) ? 0.0 : infinity;
    }
    const detail::Pair logarithm = detail::log_pair(x);
    if (abs(y * logarithm.high) > 746) {
        return (y > 0) == (x > 1) ? infinity : 0.0;
    }
    const detail::Pair exponent = detail::multiply(logarithm, {y, 0});
    return detail::exp_sum(exponent.high, exponent.low);
}

/// Sine of x in radians, for |x| <= 2^20.
[[nodiscard]] constexpr double sin(double x) {
    return detail::sine(detail::reduce(x));
}

/// Cosine of x in radians, for |x| <= 2^20.
[[nodiscard]] constexpr double cos(double x) {
    detail::Angle angle = detail::reduce(x);
    ++angle.quadrant;
    return detail::sine(angle);
}

/// sin(pi x), exactly 0 at integers, for |x| < 2^52.
[[nodiscard]] constexpr double sinpi(double x) {
    return detail::sine(detail::reduce_pi(x));
}

/// cos(pi x), exactly 0 at odd multiples of 1/2, for |x| < 2^52.
[[nodiscard]] constexpr double cospi(double x) {
    detail::Angle angle = detail::reduce_pi(x);
    ++angle.quadrant;
    return detail::sine(angle);
}

}  // namespace flowfar::cx
