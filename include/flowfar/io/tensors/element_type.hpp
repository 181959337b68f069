#pragma once

/// Element types that files of PyTorch and NumPy use, and which type of this library holds their values.

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include "flowfar/core/dtype.hpp"

namespace flowfar::io {

/// An element type as stored. Integers that the library lacks are widened to I64 when they are read and booleans become
/// U8; types without `dtype` can be listed but not loaded.
struct ElementType {
    std::string_view name;  ///< as in safetensors: "F32", "BOOL", …
    std::size_t size;       ///< bytes per element
    std::optional<DType> dtype;
    bool is_signed;            ///< of an integer
    std::string_view torch;    ///< as in `torch.float32`
    std::string_view storage;  ///< as in `torch.FloatStorage`, without the "Storage"; empty if there is none
    std::string_view numpy;    ///< kind and size as in "<f4"; empty if there is none
};

inline constexpr std::array<ElementType, 21> element_types{{
    {"F32", 4, DType::f32, true, "float32", "Float", "f4"},
    {"F64", 8, DType::f64, true, "float64", "Double", "f8"},
    {"F16", 2, DType::f16, true, "float16", "Half", "f2"},
    {"BF16", 2, DType::bf16, true, "bfloat16", "BFloat16", ""},
    {"I64", 8, DType::i64, true, "int64", "Long", "i8"},
    {"I32", 4, DType::i64, true, "int32", "Int", "i4"},
    {"I16", 2, DType::i64, true, "int16", "Short", "i2"},
    {"I8", 1, DType::i64, true, "int8", "Char", "i1"},
    {"U8", 1, DType::u8, false, "uint8", "Byte", "u1"},
    {"BOOL", 1, DType::u8, false, "bool", "Bool", "b1"},
    {"U16", 2, DType::i64, false, "uint16", "", "u2"},
    {"U32", 4, DType::i64, false, "uint32", "", "u4"},
    {"U64", 8, {}, false, "uint64", "", "u8"},
    {"C32", 4, {}, false, "complex32", "ComplexHalf", ""},
    {"C64", 8, {}, false, "complex64", "ComplexFloat", "c8"},
    {"C128", 16, {}, false, "complex128", "ComplexDouble", "c16"},
    {"F8_E4M3", 1, {}, false, "float8_e4m3fn", "", ""},
    {"F8_E5M2", 1, {}, false, "float8_e5m2", "", ""},
    {"F8_E8M0", 1, {}, false, "float8_e8m0fnu", "", ""},
    {"F8_E4M3FNUZ", 1, {}, false, "float8_e4m3fnuz", "", ""},
    {"F8_E5M2FNUZ", 1, {}, false, "float8_e5m2fnuz", "", ""},
}};

/// The type whose `field` is `name`, or null.
[[nodiscard]] constexpr const ElementType* find_element_type(std::string_view ElementType::* field,
                                                             std::string_view name) {
    const auto* found = std::ranges::find(element_types, name, field);
    return name.empty() || found == element_types.end() ? nullptr : found;
}

/// The stored type that equals a type of this library.
[[nodiscard]] constexpr const ElementType& stored_as(DType type) {
    return *find_element_type(&ElementType::name, name_of(type));
}

}  // namespace flowfar::io
