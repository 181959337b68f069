#pragma once

// Numbers about tensors of any element type, computed piece by piece, so that no second copy of a tensor is made.

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/io/tensor_view.hpp"

namespace flowfar::program {

[[nodiscard]] inline bool is_floating(DType type) {
    return type != DType::i64 && type != DType::u8;
}

/// Calls `use(first, piece)` for consecutive parts of a tensor of at most 64 Ki elements; `first` is the number of the
/// piece's first element.
template <class Use>
void for_pieces(const io::TensorView& view, Use&& use) {
    constexpr std::size_t piece = std::size_t{1} << 16;
    const std::size_t width = size_of(view.dtype);
    const std::size_t count = view.bytes.size() / width;
    for (std::size_t first = 0; first < count; first += piece) {
        const std::size_t length = std::min(piece, count - first);
        use(first, io::TensorView{view.dtype,
                                  {static_cast<Index>(length)},
                                  view.bytes.subspan(first * width, length * width),
                                  view.label});
    }
}

/// A piece's elements as double; integers beyond 2^53 are rounded.
inline void to_doubles(const io::TensorView& piece, std::vector<double>& out) {
    out.resize(piece.bytes.size() / size_of(piece.dtype));
    if (is_floating(piece.dtype)) {
        io::copy_to(piece, out.data());
        return;
    }
    const std::vector<Index> whole = io::values<Index>(piece);
    std::ranges::transform(whole, out.begin(), [](Index value) { return static_cast<double>(value); });
}

/// How many elements are not numbers, and the range of the others.
struct TensorHealth {
    std::uint64_t nan = 0;
    std::uint64_t infinite = 0;
    double low = INFINITY;  ///< above `high` if there is no finite element
    double high = -INFINITY;

    [[nodiscard]] bool sound() const { return nan == 0 && infinite == 0; }
};

[[nodiscard]] inline TensorHealth health_of(const io::TensorView& view) {
    TensorHealth health;
    std::vector<double> numbers;
    for_pieces(view, [&](std::size_t, const io::TensorView& piece) {
        to_doubles(piece, numbers);
        for (const double value : numbers) {
            health.nan += std::isnan(value) ? 1U : 0U;
            health.infinite += std::isinf(value) ? 1U : 0U;
            if (std::isfinite(value)) {
                health.low = std::min(health.low, value);
                health.high = std::max(health.high, value);
            }
        }
    });
    return health;
}

/// How far b is from a.
struct TensorDifference {
    std::uint64_t differing = 0;  ///< elements; two NaN are equal
    double largest = 0;           ///< |a − b|; infinite where only one of them is a finite number
    double difference_squares = 0;
    double squares = 0;  ///< of a

    /// |a − b| / |a| in the Euclidean norm; 0 if they are equal, infinite for a = 0.
    [[nodiscard]] double relative() const {
        return differing == 0 ? 0.0 : std::isfinite(largest) ? std::sqrt(difference_squares / squares) : INFINITY;
    }
};

/// Both have the same number of elements.
[[nodiscard]] inline TensorDifference difference_between(const io::TensorView& a, const io::TensorView& b) {
    TensorDifference out;
    std::vector<double> of_a;
    std::vector<double> of_b;
    const std::size_t width = size_of(b.dtype);
    for_pieces(a, [&](std::size_t first, const io::TensorView& piece) {
        to_doubles(piece, of_a);
        to_doubles({b.dtype, piece.shape, b.bytes.subspan(first * width, of_a.size() * width), b.label}, of_b);
        for (std::size_t i = 0; i < of_a.size(); ++i) {
            const bool same = of_a[i] == of_b[i] || (std::isnan(of_a[i]) && std::isnan(of_b[i]));
            const double apart = same ? 0.0 : std::abs(of_a[i] - of_b[i]);
            out.differing += same ? 0U : 1U;
            out.largest = std::max(out.largest, std::isnan(apart) ? INFINITY : apart);
            out.difference_squares += apart * apart;
            out.squares += of_a[i] * of_a[i];
        }
    });
    return out;
}

/// Calls `take(bytes)` with consecutive parts of the tensor in another floating type, at most 256 KiB each. Values pass
/// through float. Returns how many finite values became infinite.
template <class Take>
std::uint64_t convert_pieces(const io::TensorView& view, DType to, Take&& take) {
    std::uint64_t overflows = 0;
    std::vector<float> numbers;
    std::vector<std::byte> bytes;
    for_pieces(view, [&](std::size_t, const io::TensorView& piece) {
        numbers.resize(piece.bytes.size() / size_of(piece.dtype));
        io::copy_to(piece, numbers.data());
        bytes.resize(numbers.size() * size_of(to));
        visit_dtype(to, [&]<class T>() {
            if constexpr (std::same_as<T, float> || std::same_as<T, bf16> || std::same_as<T, f16>) {
                for (std::size_t i = 0; i < numbers.size(); ++i) {
                    const T value(numbers[i]);
                    overflows += std::isfinite(numbers[i]) && std::isinf(static_cast<float>(value)) ? 1U : 0U;
                    std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
                }
            } else {
                fail(view.label, ": conversion to ", name_of(to), " is not supported");
            }
        });
        take(std::span<const std::byte>(bytes));
    });
    return overflows;
}

}  // namespace flowfar::program
