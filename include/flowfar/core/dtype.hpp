#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "flowfar/config.hpp"
#include "flowfar/core/error.hpp"

namespace flowfar {

/// Signed extents, offsets and counts.
using Index = std::int64_t;

/// Brain floating point: the upper 16 bits of a float. Conversion rounds to nearest, ties to even; NaN stays NaN, on a
/// device the one whose fraction is all ones.
/// It is a storage and operand type: arithmetic happens in float.
struct bf16 {
    std::uint16_t bits = 0;

    bf16() = default;
    FLOWFAR_HD explicit constexpr bf16(float value) : bits(rounded(value)) {}
    FLOWFAR_HD explicit constexpr operator float() const {
        return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
    }
    FLOWFAR_HD static constexpr bf16 from_bits(std::uint16_t raw) {
        bf16 out;
        out.bits = raw;
        return out;
    }
    FLOWFAR_HD friend constexpr bool operator==(bf16 a, bf16 b) {
        return static_cast<float>(a) == static_cast<float>(b);
    }

   private:
    FLOWFAR_HD static constexpr std::uint16_t rounded(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
        if (!std::is_constant_evaluated()) {  // one instruction for seven
            std::uint16_t result = 0;
            asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result) : "f"(value));
            return result;
        }
#endif
        const auto u = std::bit_cast<std::uint32_t>(value);
        if ((u & 0x7FFFFFFFU) > 0x7F800000U) {
            return static_cast<std::uint16_t>((u >> 16) | 0x40U);  // quiet NaN; the addition below could carry into inf
        }
        return static_cast<std::uint16_t>((u + 0x7FFFU + ((u >> 16) & 1U)) >> 16);
    }
};

/// IEEE half precision, for files only: no backend computes with it.
struct f16 {
    std::uint16_t bits = 0;

    f16() = default;
    explicit constexpr f16(float value) : bits(round(value)) {}
    explicit constexpr operator float() const {
        const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
        const std::uint32_t exponent = (bits >> 10) & 0x1FU;
        const std::uint32_t fraction = bits & 0x3FFU;
        if (exponent == 0) {  // zero and subnormals: fraction · 2^-24 is exact
            const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
            return sign != 0 ? -magnitude : magnitude;
        }
        if (exponent == 31) {
            return std::bit_cast<float>(sign | 0x7F800000U | (fraction << 13));
        }
        return std::bit_cast<float>(sign | ((exponent + 112U) << 23) | (fraction << 13));
    }

   private:
    static constexpr std::uint16_t round(float value) {
        const std::uint32_t u = std::bit_cast<std::uint32_t>(value);
        const std::uint16_t sign = static_cast<std::uint16_t>((u >> 16) & 0x8000U);
        const std::uint32_t magnitude = u & 0x7FFFFFFFU;
        if (magnitude > 0x7F800000U) {
            return static_cast<std::uint16_t>(sign | 0x7E00U);
        }
        if (magnitude >= 0x477FF000U) {  // 65520 and above round to infinity
            return static_cast<std::uint16_t>(sign | 0x7C00U);
        }
        if (magnitude < 0x38800000U) {  // below 2^-14: adding 0.5 aligns the last kept bit with 2^-24
            const float aligned = std::bit_cast<float>(magnitude) + 0.5F;
            return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(aligned) - 0x3F000000U));
        }
        const std::uint32_t rounded = magnitude + 0xFFFU + ((magnitude >> 13) & 1U);
        return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
    }
};

/// Element types of tensors and files. Backends compute with f32, f64 and bf16; i64 holds indices; f16 and u8 occur in
/// files.
enum class DType : std::uint8_t { f32, f64, bf16, f16, i64, u8 };

[[nodiscard]] constexpr std::size_t size_of(DType type) {
    switch (type) {
        case DType::f32:
            return 4;
        case DType::f64:
        case DType::i64:
            return 8;
        case DType::bf16:
        case DType::f16:
            return 2;
        case DType::u8:
            return 1;
    }
    return 0;
}

/// The name that safetensors uses.
[[nodiscard]] constexpr std::string_view name_of(DType type) {
    switch (type) {
        case DType::f32:
            return "F32";
        case DType::f64:
            return "F64";
        case DType::bf16:
            return "BF16";
        case DType::f16:
            return "F16";
        case DType::i64:
            return "I64";
        case DType::u8:
            return "U8";
    }
    return "?";
}

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
    static constexpr DType value = DType::f32;
};
template <>
struct DTypeOf<double> {
    static constexpr DType value = DType::f64;
};
template <>
struct DTypeOf<bf16> {
    static constexpr DType value = DType::bf16;
};
template <>
struct DTypeOf<f16> {
    static constexpr DType value = DType::f16;
};
template <>
struct DTypeOf<Index> {
    static constexpr DType value = DType::i64;
};
template <>
struct DTypeOf<std::uint8_t> {
    static constexpr DType value = DType::u8;
};

template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;

/// Conversion between any two element types; via float where one of them is a 16-bit type.
template <class To, class From>
[[nodiscard]] constexpr To convert(From value) {
    if constexpr (std::is_same_v<To, From>) {
        return value;
    } else if constexpr (std::is_same_v<From, bf16> || std::is_same_v<From, f16>) {
        return convert<To>(static_cast<float>(value));
    } else if constexpr (std::is_same_v<To, bf16> || std::is_same_v<To, f16>) {
        return To(static_cast<float>(value));
    } else {
        return static_cast<To>(value);
    }
}

/// Calls `f.template operator()<T>()` with the C++ type of any element type.
template <class F>
decltype(auto) visit_dtype(DType type, F&& f) {
    switch (type) {
        case DType::f32:
            return f.template operator()<float>();
        case DType::f64:
            return f.template operator()<double>();
        case DType::bf16:
            return f.template operator()<bf16>();
        case DType::f16:
            return f.template operator()<f16>();
        case DType::i64:
            return f.template operator()<Index>();
        case DType::u8:
            return f.template operator()<std::uint8_t>();
    }
    fail("unknown element type ", static_cast<int>(type));
}

/// Calls `f.template operator()<T>()` with the C++ type of a computing element type (f32, f64, bf16).
template <class F>
decltype(auto) visit_float(DType type, std::string_view what, F&& f) {
    switch (type) {
        case DType::f32:
            return f.template operator()<float>();
        case DType::f64:
            return f.template operator()<double>();
        case DType::bf16:
            return f.template operator()<bf16>();
        default:
            fail(what, ": expected F32, F64 or BF16 elements, found ", name_of(type));
    }
}

}  // namespace flowfar
