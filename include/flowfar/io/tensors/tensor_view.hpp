#pragma once

/// A tensor inside a mapped file: type, extents and bytes, with checked conversion to values.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"

namespace flowfar::io {

struct TensorView {
    DType dtype = DType::f32;
    std::vector<Index> shape;
    std::span<const std::byte> bytes;  ///< row-major, little-endian, possibly unaligned
    std::string label;                 ///< file and tensor name, for error messages
};

/// Room for a tensor that a file cannot show in place. A view that was made with it is valid until its next use.
using Scratch = std::vector<std::byte>;

/// What a file says about a tensor before it is read.
struct TensorInfo {
    std::string_view
        type;  ///< of the elements, as safetensors names it; may be one that cannot be loaded, such as "C64"
    std::vector<Index> shape;
    std::uint64_t size = 0;  ///< bytes of the elements as stored; 2^64 - 1 if they are more
};

/// Product of the extents; throws `Error` beginning with `what` for a negative extent or more than 2^63 - 1 elements.
[[nodiscard]] inline Index element_count(std::span<const Index> shape, std::string_view what) {
    Index count = 1;
    bool empty = false;
    bool too_many = false;
    for (const Index extent : shape) {
        require(extent >= 0, what, ": negative extent ", extent);
        empty = empty || extent == 0;
        too_many = __builtin_mul_overflow(count, extent, &count) || too_many;
    }
    if (empty) {
        return 0;
    }
    require(!too_many, what, ": the number of elements exceeds 2^63 - 1");
    return count;
}

/// "[2, 3]".
[[nodiscard]] inline std::string shape_text(const std::vector<Index>& shape) {
    std::string out = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) {
        out += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    }
    return out + "]";
}

namespace detail {

template <class T>
inline constexpr bool is_float_element =
    std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, bf16> || std::same_as<T, f16>;

/// Values convert without surprises: any float type to float or double, any integer type to Index, else only to itself.
template <class From, class To>
inline constexpr bool converts =
    std::same_as<From, To> || (is_float_element<From> && (std::same_as<To, float> || std::same_as<To, double>)) ||
    (!is_float_element<From> && std::same_as<To, Index>);

template <class To, class From>
To convert_element(From value) {
    if constexpr (std::same_as<From, bf16> || std::same_as<From, f16>) {
        return static_cast<To>(static_cast<float>(value));
    } else {
        return static_cast<To>(value);
    }
}

}  // namespace detail

/// Copies all elements to `out`, which must have room for bytes / size_of(dtype) of them. Throws `Error` if the stored
/// type does not convert to T.
template <class T>
void copy_to(const TensorView& view, T* out) {
    visit_dtype(view.dtype, [&]<class From>() {
        if constexpr (std::same_as<From, T>) {
            if (!view.bytes.empty()) {
                std::memcpy(out, view.bytes.data(), view.bytes.size());
            }
        } else if constexpr (detail::converts<From, T>) {
            const std::size_t count = view.bytes.size() / sizeof(From);
            for (std::size_t i = 0; i < count; ++i) {
                From value;
                std::memcpy(&value, view.bytes.data() + i * sizeof(From), sizeof(From));
                out[i] = detail::convert_element<T>(value);
            }
        } else {
            fail(view.label, ": expected elements that convert to ", name_of(dtype_of<T>), ", found ",
                 name_of(view.dtype));
        }
    });
}

/// All elements, row-major.
template <class T>
[[nodiscard]] std::vector<T> values(const TensorView& view) {
    std::vector<T> out(view.bytes.size() / size_of(view.dtype));
    copy_to(view, out.data());
    return out;
}

}  // namespace flowfar::io
