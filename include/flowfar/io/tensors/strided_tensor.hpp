#pragma once

/// Tensors that lie in a file with strides, as PyTorch and NumPy store them, brought into row-major order.

#include <array>
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
#include "flowfar/io/bytes/byte_reader.hpp"
#include "flowfar/io/tensors/element_type.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"

namespace flowfar::io {

/// Where the elements of a tensor lie: element (i, j, …) is number offset + i·strides[0] + j·strides[1] + … of storage.
struct StridedTensor {
    const ElementType* type = nullptr;
    std::vector<Index> shape;
    std::vector<Index> strides;  ///< in elements, not negative
    Index offset = 0;            ///< in elements
    std::span<const std::byte> storage;
    bool big_endian = false;
    std::string label;  ///< file and tensor name, for error messages
};

namespace detail {

/// Tensors may name an element more than once (stride 0), but not so that a tiny file fills the memory.
inline constexpr std::uint64_t expansion_limit = std::uint64_t{1} << 24;  // bytes
inline constexpr std::size_t rank_limit = 64;                             // PyTorch's own

template <std::unsigned_integral From, class To>
void gather(const StridedTensor& tensor, Index count, std::byte* out) {
    const std::size_t rank = tensor.shape.size();
    const Index inner = rank == 0 ? 1 : tensor.shape[rank - 1];
    const Index step = rank == 0 ? 0 : tensor.strides[rank - 1];
    std::array<Index, rank_limit> at{};
    Index begin = tensor.offset;
    for (Index done = 0; done < count; done += inner) {
        for (Index i = 0; i < inner; ++i) {
            From raw;
            std::memcpy(&raw, tensor.storage.data() + static_cast<std::size_t>(begin + i * step) * sizeof(From),
                        sizeof(From));
            raw = tensor.big_endian ? reverse_bytes(raw) : raw;
            To value;
            if constexpr (std::signed_integral<To>) {
                value = static_cast<std::make_signed_t<From>>(raw);
            } else {
                value = static_cast<To>(raw);
            }
            std::memcpy(out, &value, sizeof(To));
            out += sizeof(To);
        }
        for (std::size_t axis = rank - (rank == 0 ? 0 : 1); axis-- > 0;) {
            if (at[axis] + 1 < tensor.shape[axis]) {
                ++at[axis];
                begin += tensor.strides[axis];
                break;
            }
            begin -= at[axis] * tensor.strides[axis];
            at[axis] = 0;
        }
    }
}

template <std::unsigned_integral From>
void gather(const StridedTensor& tensor, Index count, std::byte* out) {
    if (size_of(*tensor.type->dtype) == sizeof(From)) {
        gather<From, From>(tensor, count, out);
    } else if (tensor.type->is_signed) {
        gather<From, std::int64_t>(tensor, count, out);
    } else {
        gather<From, std::uint64_t>(tensor, count, out);
    }
}

}  // namespace detail

/// Checks that all elements lie inside the storage and returns their number. Throws `Error` for more than 64 axes,
/// negative extents, offsets or strides, more than 2^63 - 1 elements, and for elements outside the storage.
inline Index check_strided(const StridedTensor& tensor) {
    const std::string& where = tensor.label;
    const std::size_t rank = tensor.shape.size();
    require(rank <= detail::rank_limit, where, ": ", rank, " axes, expected at most ", detail::rank_limit);
    require(tensor.strides.size() == rank, where, ": ", rank, " extents, but ", tensor.strides.size(), " strides");
    const Index count = element_count(tensor.shape, where);
    require(tensor.offset >= 0, where, ": negative storage offset ", tensor.offset);
    for (const Index stride : tensor.strides) {
        require(stride >= 0, where, ": negative stride ", stride);
    }
    if (count == 0) {
        return 0;
    }
    Index end = tensor.offset;
    bool too_many = __builtin_add_overflow(end, Index{1}, &end);
    for (std::size_t i = 0; i < rank; ++i) {
        Index span = 0;
        too_many = __builtin_mul_overflow(tensor.shape[i] - 1, tensor.strides[i], &span) || too_many;
        too_many = __builtin_add_overflow(end, span, &end) || too_many;
    }
    const auto room = static_cast<Index>(tensor.storage.size() / tensor.type->size);
    if (too_many || end > room) {
        fail(where, ": offset and strides reach element ", too_many ? "2^63" : std::to_string(end),
             " of a storage that holds ", room, " elements of type ", tensor.type->name);
    }
    return count;
}

/// Whether the elements lie one after another in row-major order.
[[nodiscard]] inline bool is_row_major(const StridedTensor& tensor) {
    Index expected = 1;
    bool empty = false;
    bool result = true;
    for (std::size_t i = tensor.shape.size(); i-- > 0;) {
        empty = empty || tensor.shape[i] == 0;
        result = result && (tensor.shape[i] == 1 || tensor.strides[i] == expected);
        if (__builtin_mul_overflow(expected, tensor.shape[i], &expected)) {
            result = false;
        }
    }
    return result || empty;
}

/// The tensor in row-major order: in place if the file has it so, else gathered into `scratch`. Throws `Error` for
/// types that cannot be loaded and for a tensor that repeats its elements so often that it would outgrow its storage by
/// far.
[[nodiscard]] inline TensorView load_strided(const StridedTensor& tensor, Scratch& scratch) {
    const auto count = static_cast<std::uint64_t>(check_strided(tensor));
    const ElementType& type = *tensor.type;
    require(type.dtype.has_value(), tensor.label, ": elements of type ", type.name, " are not supported");
    const std::size_t width = size_of(*type.dtype);
    TensorView view{*type.dtype, tensor.shape, {}, tensor.label};
    if (count == 0) {
        return view;
    }
    if (width == type.size && (type.size == 1 || !tensor.big_endian) && is_row_major(tensor)) {
        const std::size_t begin = static_cast<std::size_t>(tensor.offset) * type.size;
        view.bytes = tensor.storage.subspan(begin, static_cast<std::size_t>(count) * type.size);
        return view;
    }
    const std::uint64_t held = tensor.storage.size() / type.size;
    require(count <= held || count <= detail::expansion_limit / width, tensor.label, ": ", count,
            " elements drawn from a storage of ", held, ": refused, because such a tensor could fill the memory");
    scratch.resize(static_cast<std::size_t>(count) * width);
    const auto elements = static_cast<Index>(count);
    switch (type.size) {
        case 1:
            detail::gather<std::uint8_t>(tensor, elements, scratch.data());
            break;
        case 2:
            detail::gather<std::uint16_t>(tensor, elements, scratch.data());
            break;
        case 4:
            detail::gather<std::uint32_t>(tensor, elements, scratch.data());
            break;
        default:
            detail::gather<std::uint64_t>(tensor, elements, scratch.data());
    }
    view.bytes = scratch;
    return view;
}

}  // namespace flowfar::io
