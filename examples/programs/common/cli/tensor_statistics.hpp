#pragma once

// Numbers about tensors of any element type, computed piece by piece, so that no second copy of a tensor is made.

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "flowfar/core/dtype.hpp"
#include "flowfar/io/tensors/tensor_view.hpp"

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

/// A piece's elements as double (integers beyond 2^53 are rounded), or as Index if they are integers.
template <class T>
void to_numbers(const io::TensorView& piece, std::vector<T>& out) {
    out.resize(piece.bytes.size() / size_of(piece.dtype));
    if (std::same_as<T, Index> || is_floating(piece.dtype)) {
        io::copy_to(piece, out.data());
        return;
    }
    const std::vector<Index> whole = io::values<Index>(piece);
    std::ranges::transform(whole, out.begin(), [](Index value) { return static_cast<T>(value); });
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
        to_numbers(piece, numbers);
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

/// A Euclidean norm whose squares are summed in units of the largest number, so that they do not overflow.
class ScaledNorm {
   public:
    void add(double value) {
        const double magnitude = std::abs(value);
        if (magnitude > scale_) {
            const double ratio = scale_ / magnitude;
            sum_ = sum_ * ratio * ratio + 1;
            scale_ = magnitude;
        } else if (magnitude > 0) {
            const double ratio = magnitude / scale_;
            sum_ += ratio * ratio;
        }
    }
    /// The quotient of this norm and another one; infinite if the other one is 0.
    [[nodiscard]] double over(const ScaledNorm& other) const {
        return other.scale_ > 0 ? scale_ / other.scale_ * std::sqrt(sum_ / other.sum_) : INFINITY;
    }

   private:
    double scale_ = 0;
    double sum_ = 0;
};

/// How far b is from a.
struct TensorDifference {
    std::uint64_t differing = 0;  ///< elements; two NaN are equal
    double largest = 0;           ///< |a − b|; infinite where only one of them is a finite number
    ScaledNorm difference;        ///< of the elements that are finite in both
    ScaledNorm norm;              ///< of the finite elements of a

    /// |a − b| / |a| in the Euclidean norm; 0 if they are equal, infinite for a = 0.
    [[nodiscard]] double relative() const {
        return differing == 0 ? 0.0 : std::isfinite(largest) ? difference.over(norm) : INFINITY;
    }
    /// Whether the relative difference is at most `tolerance`. At 0 no element may differ: a quotient may be so small
    /// that it is rounded to 0.
    [[nodiscard]] bool within(double tolerance) const {
        return differing == 0 || (tolerance > 0 && relative() <= tolerance);
    }

    void add(double a, double b) {
        const bool same = a == b || (std::isnan(a) && std::isnan(b));
        add(a, same, same ? 0.0 : std::abs(a - b));
    }
    void add(Index a, Index b) {
        const auto apart = static_cast<std::uint64_t>(std::max(a, b)) - static_cast<std::uint64_t>(std::min(a, b));
        add(static_cast<double>(a), a == b, static_cast<double>(apart));
    }

   private:
    void add(double a, bool same, double apart) {
        differing += same ? 0U : 1U;
        largest = std::max(largest, std::isnan(apart) ? INFINITY : apart);
        if (std::isfinite(apart)) {
            difference.add(apart);
        }
        if (std::isfinite(a)) {
            norm.add(a);
        }
    }
};

/// Both have the same number of elements. Two tensors of integers are compared exactly, others as double.
[[nodiscard]] inline TensorDifference difference_between(const io::TensorView& a, const io::TensorView& b) {
    TensorDifference out;
    const auto compare = [&]<class T>(T) {
        std::vector<T> of_a;
        std::vector<T> of_b;
        const std::size_t width = size_of(b.dtype);
        for_pieces(a, [&](std::size_t first, const io::TensorView& piece) {
            to_numbers(piece, of_a);
            to_numbers({b.dtype, piece.shape, b.bytes.subspan(first * width, of_a.size() * width), b.label}, of_b);
            for (std::size_t i = 0; i < of_a.size(); ++i) {
                out.add(of_a[i], of_b[i]);
            }
        });
    };
    if (is_floating(a.dtype) || is_floating(b.dtype)) {
        compare(0.0);
    } else {
        compare(Index{0});
    }
    return out;
}

}  // namespace flowfar::program
