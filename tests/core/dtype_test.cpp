#include "flowfar/core/dtype.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <doctest/doctest.h>
#include <initializer_list>
#include <limits>

#include "flowfar/core/philox.hpp"

using flowfar::bf16;
using flowfar::DType;
using flowfar::f16;

namespace {

/// The value of a half-precision pattern, from the definition in IEEE 754.
double half_value(std::uint16_t bits) {
    const int exponent = (bits >> 10) & 31;
    const int fraction = bits & 1023;
    const double sign = (bits & 0x8000) != 0 ? -1.0 : 1.0;
    if (exponent == 31) {
        return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                             : sign * std::numeric_limits<double>::infinity();
    }
    return exponent == 0 ? sign * std::ldexp(fraction, -24) : sign * std::ldexp(1024 + fraction, exponent - 25);
}

/// Rounds to nearest, ties to even, by comparing with both neighbors of the truncated pattern.
template <class Value>
std::uint16_t nearest(float x, Value value, std::uint16_t truncated) {
    const double target = std::fabs(static_cast<double>(x));
    const std::uint16_t up = static_cast<std::uint16_t>(truncated + 1);
    const double below = target - value(truncated);
    const double above = value(up) - target;
    return below < above || (below == above && truncated % 2 == 0) ? truncated : up;
}

}  // namespace

TEST_CASE("every f16 pattern converts to its value and back") {
    int wrong_value = 0;
    int wrong_return = 0;
    for (std::uint32_t pattern = 0; pattern < 65536; ++pattern) {
        f16 half;
        half.bits = static_cast<std::uint16_t>(pattern);
        const float value = static_cast<float>(half);
        const double want = half_value(half.bits);
        const bool is_nan = std::isnan(want);
        wrong_value += is_nan ? !std::isnan(value) : static_cast<double>(value) != want;
        wrong_value += !is_nan && std::signbit(value) != std::signbit(want) ? 1 : 0;
        const std::uint16_t back = f16(value).bits;
        wrong_return += is_nan ? !std::isnan(half_value(back)) : back != half.bits;
    }
    CHECK(wrong_value == 0);
    CHECK(wrong_return == 0);
}

TEST_CASE("f16 rounds to nearest, ties to even, at and around every midpoint") {
    int wrong = 0;
    for (std::uint16_t pattern = 0; pattern < 0x7BFF; ++pattern) {
        const std::uint16_t next = static_cast<std::uint16_t>(pattern + 1);
        const float middle = static_cast<float>((half_value(pattern) + half_value(next)) / 2);  // exact
        const std::uint16_t even = pattern % 2 == 0 ? pattern : next;
        wrong += f16(middle).bits != even ? 1 : 0;
        wrong += f16(std::nextafter(middle, 0.0F)).bits != pattern ? 1 : 0;
        wrong += f16(std::nextafter(middle, 1e9F)).bits != next ? 1 : 0;
        wrong += f16(-middle).bits != (even | 0x8000) ? 1 : 0;
    }
    CHECK(wrong == 0);
}

TEST_CASE("f16 overflows to infinity from 65520 on") {
    CHECK(f16(65504.0F).bits == 0x7BFF);
    CHECK(f16(std::nextafter(65520.0F, 0.0F)).bits == 0x7BFF);
    CHECK(f16(65520.0F).bits == 0x7C00);
    CHECK(f16(-1e30F).bits == 0xFC00);
    CHECK(f16(std::numeric_limits<float>::infinity()).bits == 0x7C00);
    CHECK(f16(0.0F).bits == 0);
    CHECK(f16(-0.0F).bits == 0x8000);
    CHECK(f16(std::numeric_limits<float>::denorm_min()).bits == 0);
}

TEST_CASE("every bf16 pattern converts to the float with the same upper half, and back") {
    int wrong = 0;
    for (std::uint32_t pattern = 0; pattern < 65536; ++pattern) {
        const bf16 brain = bf16::from_bits(static_cast<std::uint16_t>(pattern));
        const float value = static_cast<float>(brain);
        wrong += std::bit_cast<std::uint32_t>(value) != pattern << 16 ? 1 : 0;
        const bf16 back(value);
        wrong += std::isnan(value) ? !std::isnan(static_cast<float>(back)) : back.bits != brain.bits;
    }
    CHECK(wrong == 0);
}

TEST_CASE("bf16 rounds to nearest, ties to even") {
    const auto value = [](std::uint16_t bits) {
        return static_cast<double>(static_cast<float>(bf16::from_bits(bits)));
    };
    int wrong = 0;
    for (std::uint32_t pattern = 0; pattern < 0x7F7F; ++pattern) {
        for (const std::uint32_t lower : {0x0001U, 0x4321U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
            const float x = std::bit_cast<float>((pattern << 16) | lower);
            const std::uint16_t want = nearest(x, value, static_cast<std::uint16_t>(pattern));
            wrong += bf16(x).bits != want ? 1 : 0;
            wrong += bf16(-x).bits != (want | 0x8000) ? 1 : 0;
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("bf16 and f16 round random floats to nearest") {
    const std::uint64_t seed = 11;
    CAPTURE(seed);
    flowfar::Random random(seed);
    const auto brain = [](std::uint16_t bits) {
        return static_cast<double>(static_cast<float>(bf16::from_bits(bits)));
    };
    int wrong = 0;
    for (int i = 0; i < 200000; ++i) {
        const float x = std::bit_cast<float>(static_cast<std::uint32_t>(random.bits()) & 0x7F7EFFFFU);
        const auto upper = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16);
        wrong += bf16(x).bits != nearest(x, brain, upper) ? 1 : 0;
        const float y = static_cast<float>(std::ldexp(random.uniform(), static_cast<int>(random.below(46)) - 30));
        if (y < 65504.0F) {
            std::uint16_t low = 0;  // the largest pattern not above y, by bisection
            for (std::uint16_t bit = 0x4000; bit != 0; bit = static_cast<std::uint16_t>(bit / 2)) {
                const auto candidate = static_cast<std::uint16_t>(low | bit);
                low = candidate < 0x7C00 && half_value(candidate) <= static_cast<double>(y) ? candidate : low;
            }
            wrong += f16(y).bits != nearest(y, half_value, low) ? 1 : 0;
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("bf16 keeps NaN, infinity and signed zero") {
    CHECK(std::isnan(static_cast<float>(bf16(std::numeric_limits<float>::quiet_NaN()))));
    // A NaN whose payload sits in the lower half only must not become infinity.
    CHECK(std::isnan(static_cast<float>(bf16(std::bit_cast<float>(0x7F800001U)))));
    CHECK(std::isnan(static_cast<float>(bf16(std::bit_cast<float>(0xFFFFFFFFU)))));
    CHECK(bf16(std::numeric_limits<float>::infinity()).bits == 0x7F80);
    CHECK(bf16(std::numeric_limits<float>::max()).bits == 0x7F80);
    CHECK(bf16(-0.0F).bits == 0x8000);
    CHECK(bf16(0.0F) == bf16(-0.0F));
    CHECK_FALSE(bf16(std::numeric_limits<float>::quiet_NaN()) == bf16(std::numeric_limits<float>::quiet_NaN()));
    static_assert(static_cast<float>(bf16(1.0F)) == 1.0F);
    static_assert(static_cast<float>(f16(-2.5F)) == -2.5F);
}

TEST_CASE("sizes, names and types belong together") {
    for (const DType type : {DType::f32, DType::f64, DType::bf16, DType::f16, DType::i64, DType::u8}) {
        CAPTURE(flowfar::name_of(type));
        flowfar::visit_dtype(type, [&]<class T>() {
            CHECK(sizeof(T) == flowfar::size_of(type));
            CHECK(flowfar::dtype_of<T> == type);
        });
    }
    CHECK(flowfar::name_of(DType::bf16) == "BF16");
    CHECK(flowfar::name_of(DType::i64) == "I64");
    flowfar::visit_float(DType::bf16, "test", []<class T>() { CHECK(flowfar::dtype_of<T> == DType::bf16); });
    CHECK_THROWS_WITH_AS(flowfar::visit_float(DType::i64, "softmax", []<class T>() {}),
                         "softmax: expected F32, F64 or BF16 elements, found I64", flowfar::Error);
    CHECK_THROWS_AS(flowfar::visit_dtype(static_cast<DType>(99), []<class T>() {}), flowfar::Error);
}
