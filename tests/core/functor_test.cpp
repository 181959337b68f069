#include "flowfar/core/functors/functor.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <initializer_list>
#include <limits>
#include <set>
#include <string>
#include <vector>

using flowfar::BinaryFunctor;
using flowfar::BinaryOp;
using flowfar::name_of;
using flowfar::UnaryFunctor;
using flowfar::UnaryOp;

namespace {

constexpr int unary_count = static_cast<int>(UnaryOp::binary_entropy) + 1;
constexpr int binary_count = static_cast<int>(BinaryOp::greater) + 1;

template <class F>
void for_each_unary(F&& f) {
    for (int i = 0; i < unary_count; ++i) {
        flowfar::visit_unary(static_cast<UnaryOp>(i), f);
    }
}

template <class F>
void for_each_binary(F&& f) {
    for (int i = 0; i < binary_count; ++i) {
        flowfar::visit_binary(static_cast<BinaryOp>(i), f);
    }
}

/// The scalars each operation is tested with.
flowfar::Unary scalars(UnaryOp op) {
    switch (op) {
        case UnaryOp::affine:
            return {op, -1.7, 0.3};
        case UnaryOp::clamp:
            return {op, -0.45, 1.1};
        default:
            return {op, 0, 0};
    }
}

bool needs_positive(UnaryOp op) {
    return op == UnaryOp::log || op == UnaryOp::sqrt || op == UnaryOp::rsqrt;
}

/// Points away from kinks and jumps, so that central differences apply.
std::vector<double> points(UnaryOp op) {
    std::vector<double> out;
    for (const double x : {0.013, 0.2, 0.61, 1.3, 2.2, 4.4}) {
        out.push_back(x);
        if (!needs_positive(op)) {
            out.push_back(-x);
        }
    }
    return out;
}

/// Defining formulas in long double, written differently from the library's.
long double definition(UnaryOp op, long double x, long double a, long double b) {
    const long double pi = 3.14159265358979323846264338327950288L;
    switch (op) {
        case UnaryOp::affine:
            return a * x + b;
        case UnaryOp::exp:
            return std::exp(x);
        case UnaryOp::log:
            return std::log(x);
        case UnaryOp::sqrt:
            return std::sqrt(x);
        case UnaryOp::rsqrt:
            return std::exp(-std::log(x) / 2);
        case UnaryOp::square:
            return x * x;
        case UnaryOp::abs:
            return std::sqrt(x * x);
        case UnaryOp::sin:
            return std::sin(x);
        case UnaryOp::cos:
            return std::cos(x);
        case UnaryOp::tanh:
            return (std::exp(2 * x) - 1) / (std::exp(2 * x) + 1);
        case UnaryOp::sigmoid:
            return 1 / (1 + std::exp(-x));
        case UnaryOp::silu:
            return x / (1 + std::exp(-x));
        case UnaryOp::gelu_tanh:
            return x / 2 * (1 + std::tanh(std::sqrt(2 / pi) * (x + 0.044715L * x * x * x)));
        case UnaryOp::gelu_erf:
            return x / 2 * (1 + std::erf(x / std::sqrt(2.0L)));
        case UnaryOp::relu:
            return std::fmax(x, 0.0L);
        case UnaryOp::softplus:
            return std::log(1 + std::exp(x));
        case UnaryOp::clamp:
            return std::fmin(std::fmax(x, a), b);
        case UnaryOp::binarize:
            return x > 0 ? 1 : -1;
        case UnaryOp::round:
            return std::floor(x + 0.5L);  // no point of these tests is a half
        case UnaryOp::binary_entropy: {
            const long double p = 1 / (1 + std::exp(-x));
            return -p * std::log(p) - (1 - p) * std::log(1 - p);
        }
    }
    return std::numeric_limits<long double>::quiet_NaN();
}

}  // namespace

TEST_CASE("names are distinct and unknown values are refused") {
    std::set<std::string> names;
    for (int i = 0; i < unary_count; ++i) {
        names.emplace(name_of(static_cast<UnaryOp>(i)));
    }
    CHECK(names.size() == static_cast<std::size_t>(unary_count));
    CHECK(name_of(UnaryOp::affine) == "affine");
    CHECK(name_of(UnaryOp::gelu_tanh) == "gelu_tanh");
    CHECK(name_of(UnaryOp::binary_entropy) == "binary_entropy");
    CHECK(name_of(BinaryOp::add) == "add");
    CHECK(name_of(BinaryOp::greater) == "greater");
    CHECK(name_of(static_cast<UnaryOp>(200)) == "?");
    CHECK(name_of(static_cast<BinaryOp>(200)) == "?");
    CHECK_THROWS_AS(flowfar::visit_unary(static_cast<UnaryOp>(200), []<UnaryOp>() {}), flowfar::Error);
    CHECK_THROWS_AS(flowfar::visit_binary(static_cast<BinaryOp>(200), []<BinaryOp>() {}), flowfar::Error);
}

TEST_CASE("visiting reaches the operation it was asked for") {
    for_each_unary([]<UnaryOp Op>() { CHECK(flowfar::visit_unary(Op, []<UnaryOp Inner>() { return Inner; }) == Op); });
    for_each_binary(
        []<BinaryOp Op>() { CHECK(flowfar::visit_binary(Op, []<BinaryOp Inner>() { return Inner; }) == Op); });
}

TEST_CASE("unary operations equal their definitions") {
    for_each_unary([]<UnaryOp Op>() {
        CAPTURE(name_of(Op));
        const flowfar::Unary with = scalars(Op);
        for (const double x : points(Op)) {
            CAPTURE(x);
            const double want = static_cast<double>(definition(Op, x, with.a, with.b));
            const double got = UnaryFunctor<Op>::forward(x, with.a, with.b);
            CHECK(std::fabs(got - want) <= 1e-14 * (1 + std::fabs(want)));
            const float narrow = UnaryFunctor<Op>::forward(static_cast<float>(x), static_cast<float>(with.a),
                                                           static_cast<float>(with.b));
            CHECK(std::fabs(static_cast<double>(narrow) - want) <= 1e-6 * (1 + std::fabs(want)));
        }
    });
}

TEST_CASE("unary derivatives equal central differences") {
    for_each_unary([]<UnaryOp Op>() {
        CAPTURE(name_of(Op));
        const flowfar::Unary with = scalars(Op);
        for (const double x : points(Op)) {
            CAPTURE(x);
            const double h = 1e-5 * (std::fabs(x) < 0.1 ? 0.1 : 1.0);
            double want =
                (UnaryFunctor<Op>::forward(x + h, with.a, with.b) - UnaryFunctor<Op>::forward(x - h, with.a, with.b)) /
                (2 * h);
            if (Op == UnaryOp::binarize || Op == UnaryOp::round) {
                want = 1;  // straight through, by definition
            }
            const double g = 1.9;
            const double y = UnaryFunctor<Op>::forward(x, with.a, with.b);
            const double got = UnaryFunctor<Op>::backward(x, y, g, with.a, with.b);
            CHECK(std::fabs(got - g * want) <= 2e-8 * (1 + std::fabs(want)));
            const float narrow =
                UnaryFunctor<Op>::backward(static_cast<float>(x), static_cast<float>(y), static_cast<float>(g),
                                           static_cast<float>(with.a), static_cast<float>(with.b));
            CHECK(std::fabs(static_cast<double>(narrow) - got) <= 5e-6 * (1 + std::fabs(got)));
        }
    });
}

TEST_CASE("derivatives read only the state they declare") {
    for_each_unary([]<UnaryOp Op>() {
        CAPTURE(name_of(Op));
        CHECK_FALSE((flowfar::backward_uses_input(Op) && flowfar::backward_uses_output(Op)));
        const flowfar::Unary with = scalars(Op);
        const double nan = std::numeric_limits<double>::quiet_NaN();
        const double x = 0.8;
        const double y = UnaryFunctor<Op>::forward(x, with.a, with.b);
        const double full = UnaryFunctor<Op>::backward(x, y, 1.0, with.a, with.b);
        const double declared =
            UnaryFunctor<Op>::backward(flowfar::backward_uses_input(Op) ? x : nan,
                                       flowfar::backward_uses_output(Op) ? y : nan, 1.0, with.a, with.b);
        CHECK(full == declared);
    });
}

TEST_CASE("kinks and jumps have the documented values") {
    using Relu = UnaryFunctor<UnaryOp::relu>;
    CHECK(Relu::backward(0.0, 0.0, 1.0, 0.0, 0.0) == 0);
    CHECK(std::isnan(Relu::forward(std::numeric_limits<float>::quiet_NaN(), 0.0F, 0.0F)));
    CHECK(UnaryFunctor<UnaryOp::abs>::backward(0.0, 0.0, 1.0, 0.0, 0.0) == 0);
    CHECK(UnaryFunctor<UnaryOp::binarize>::forward(0.0F, 0.0F, 0.0F) == -1.0F);
    using Round = UnaryFunctor<UnaryOp::round>;
    CHECK(Round::forward(0.5F, 0.0F, 0.0F) == 0.0F);  // halves to even
    CHECK(Round::forward(1.5, 0.0, 0.0) == 2.0);
    CHECK(Round::forward(-2.5, 0.0, 0.0) == -2.0);
    using Clamp = UnaryFunctor<UnaryOp::clamp>;
    CHECK(Clamp::backward(-1.0, -1.0, 3.0, -1.0, 1.0) == 3);  // the ends belong to the interval
    CHECK(Clamp::backward(1.0, 1.0, 3.0, -1.0, 1.0) == 3);
    CHECK(Clamp::backward(1.01, 1.0, 3.0, -1.0, 1.0) == 0);
    CHECK(std::isnan(Clamp::forward(std::numeric_limits<double>::quiet_NaN(), -1.0, 1.0)));
    CHECK(UnaryFunctor<UnaryOp::binary_entropy>::forward(0.0, 0.0, 0.0) == doctest::Approx(std::log(2.0)));
}

TEST_CASE_TEMPLATE("saturating operations stay finite and reach their limits", T, float, double) {
    for (const double magnitude : {20.0, 88.0, 90.0, 110.0, 750.0, 1e4, 1e10}) {
        for_each_unary([&]<UnaryOp Op>() {
            const bool saturates = Op == UnaryOp::tanh || Op == UnaryOp::sigmoid || Op == UnaryOp::silu ||
                                   Op == UnaryOp::gelu_tanh || Op == UnaryOp::gelu_erf || Op == UnaryOp::relu ||
                                   Op == UnaryOp::softplus || Op == UnaryOp::binary_entropy;
            if (saturates) {
                CAPTURE(name_of(Op));
                CAPTURE(magnitude);
                const bool bounded = Op == UnaryOp::tanh || Op == UnaryOp::sigmoid;
                const bool vanishes = Op == UnaryOp::binary_entropy;
                const bool odd = Op == UnaryOp::tanh;
                const double small = 2.5e-7 * (1 + (magnitude < 100 ? magnitude : 0));
                for (const double sign : {1.0, -1.0}) {
                    const T x = static_cast<T>(sign * magnitude);
                    const T y = UnaryFunctor<Op>::forward(x, T(0), T(0));
                    const T slope = UnaryFunctor<Op>::backward(x, y, T(1), T(0), T(0));
                    const double top = vanishes ? 0.0 : (bounded ? 1.0 : static_cast<double>(x));
                    const double limit = sign > 0 ? top : (odd ? -1.0 : 0.0);
                    CHECK(std::fabs(static_cast<double>(y) - limit) <= small);
                    const double slope_limit = sign > 0 && !bounded && !vanishes ? 1.0 : 0.0;
                    CHECK(std::fabs(static_cast<double>(slope) - slope_limit) <= small);
                }
            }
        });
    }
}

TEST_CASE("negative tails keep their relative accuracy in float") {
    for (const double x : {-3.0, -4.5, -5.5}) {
        CAPTURE(x);
        const float narrow = static_cast<float>(x);
        for_each_unary([&]<UnaryOp Op>() {
            if (Op == UnaryOp::gelu_tanh || Op == UnaryOp::gelu_erf || Op == UnaryOp::softplus || Op == UnaryOp::silu ||
                Op == UnaryOp::binary_entropy) {
                CAPTURE(name_of(Op));
                const double want = static_cast<double>(definition(Op, x, 0, 0));
                const double got = static_cast<double>(UnaryFunctor<Op>::forward(narrow, 0.0F, 0.0F));
                CHECK(std::fabs(got - want) <= 1e-5 * std::fabs(want));
            }
        });
    }
}

TEST_CASE("binary derivatives equal central differences") {
    const double h = 1e-6;
    for_each_binary([&]<BinaryOp Op>() {
        CAPTURE(name_of(Op));
        using F = BinaryFunctor<Op>;
        for (const double a : {0.3, 1.4, 2.9}) {
            for (const double b : {-1.2, 0.5, 2.2}) {
                CAPTURE(a);
                CAPTURE(b);
                const double g = -0.7;
                const double y = F::forward(a, b);
                const double slope_a = (F::forward(a + h, b) - F::forward(a - h, b)) / (2 * h);
                const double slope_b = (F::forward(a, b + h) - F::forward(a, b - h)) / (2 * h);
                CHECK(std::fabs(F::grad_a(a, b, y, g) - g * slope_a) <= 1e-7 * (1 + std::fabs(slope_a)));
                CHECK(std::fabs(F::grad_b(a, b, y, g) - g * slope_b) <= 1e-7 * (1 + std::fabs(slope_b)));
            }
        }
    });
}

TEST_CASE("binary operations have the documented values") {
    CHECK(BinaryFunctor<BinaryOp::add>::forward(2.0, 3.0) == 5);
    CHECK(BinaryFunctor<BinaryOp::sub>::forward(2.0, 3.0) == -1);
    CHECK(BinaryFunctor<BinaryOp::mul>::forward(2.0, 3.0) == 6);
    CHECK(BinaryFunctor<BinaryOp::div>::forward(3.0, 2.0) == 1.5);
    CHECK(BinaryFunctor<BinaryOp::max>::forward(2.0, 3.0) == 3);
    CHECK(BinaryFunctor<BinaryOp::equal>::forward(2.0, 2.0) == 1);
    CHECK(BinaryFunctor<BinaryOp::equal>::forward(2.0, 3.0) == 0);
    CHECK(BinaryFunctor<BinaryOp::less>::forward(2.0, 3.0) == 1);
    CHECK(BinaryFunctor<BinaryOp::less>::forward(2.0, 2.0) == 0);
    CHECK(BinaryFunctor<BinaryOp::greater>::forward(2.0, 3.0) == 0);
    CHECK(BinaryFunctor<BinaryOp::greater>::forward(3.0, 2.0) == 1);
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(std::isnan(BinaryFunctor<BinaryOp::max>::forward(nan, 1.0)));
    CHECK(std::isnan(BinaryFunctor<BinaryOp::max>::forward(1.0, nan)));
    CHECK(BinaryFunctor<BinaryOp::max>::grad_a(2.0, 2.0, 2.0, 4.0) == 2);  // a tie shares the cotangent
}
