#pragma once

#include <array>
#include <initializer_list>
#include <optional>
#include <string>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"

namespace flowfar {

inline constexpr int max_rank = 8;

/// Run-time extents of a tensor, row-major order, rank 0 to 8.
///
///     const auto x = Tensor<Cpu, Shape<dyn, 64>>::zeros(Extents{32, 64});
class Extents {
   public:
    constexpr Extents() = default;
    constexpr Extents(std::initializer_list<Index> values) {
        for (const Index value : values) {
            push_back(value);
        }
    }

    constexpr void push_back(Index value) {
        if (rank_ == max_rank) {
            fail("extents: rank is at most ", max_rank);
        }
        if (value < 0) {
            fail("extents: negative extent ", value);
        }
        values_[static_cast<std::size_t>(rank_++)] = value;
    }
    [[nodiscard]] constexpr int rank() const { return rank_; }
    [[nodiscard]] constexpr Index& operator[](int axis) { return values_[static_cast<std::size_t>(axis)]; }
    [[nodiscard]] constexpr Index operator[](int axis) const { return values_[static_cast<std::size_t>(axis)]; }
    [[nodiscard]] constexpr Index back() const { return (*this)[rank_ - 1]; }
    [[nodiscard]] constexpr const Index* begin() const { return values_.data(); }
    [[nodiscard]] constexpr const Index* end() const { return values_.data() + rank_; }

    /// Number of elements; 1 for rank 0.
    [[nodiscard]] constexpr Index count() const {
        Index product = 1;
        for (const Index value : *this) {
            product *= value;
        }
        return product;
    }
    friend constexpr bool operator==(const Extents& a, const Extents& b) {
        if (a.rank_ != b.rank_) {
            return false;
        }
        for (int axis = 0; axis < a.rank_; ++axis) {
            if (a[axis] != b[axis]) {
                return false;
            }
        }
        return true;
    }

   private:
    std::array<Index, max_rank> values_{};
    int rank_ = 0;
};

/// The extents without one axis.
[[nodiscard]] constexpr Extents erased(const Extents& extents, int without) {
    Extents out;
    for (int axis = 0; axis < extents.rank(); ++axis) {
        if (axis != without) {
            out.push_back(extents[axis]);
        }
    }
    return out;
}

/// The extents with one of 1 before axis `before`.
[[nodiscard]] constexpr Extents inserted(const Extents& extents, int before) {
    Extents out;
    for (int axis = 0; axis <= extents.rank(); ++axis) {
        out.push_back(axis == before ? 1 : extents[axis < before ? axis : axis - 1]);
    }
    return out;
}

[[nodiscard]] inline std::string to_string(const Extents& extents) {
    std::string out = "[";
    for (int axis = 0; axis < extents.rank(); ++axis) {
        out += (axis == 0 ? "" : ", ") + std::to_string(extents[axis]);
    }
    return out + "]";
}

/// Where the elements of a tensor lie: element (i0, i1, …) is at offset + Σ ik·stride_k, in elements.
struct Layout {
    Extents extents;
    std::array<Index, max_rank> strides{};
    Index offset = 0;

    [[nodiscard]] constexpr int rank() const { return extents.rank(); }
    [[nodiscard]] constexpr Index count() const { return extents.count(); }
    [[nodiscard]] constexpr Index stride(int axis) const { return strides[static_cast<std::size_t>(axis)]; }
    constexpr void set_stride(int axis, Index value) { strides[static_cast<std::size_t>(axis)] = value; }
};

/// Row-major layout without gaps.
[[nodiscard]] constexpr Layout contiguous_layout(const Extents& extents) {
    Layout layout{extents, {}, 0};
    Index stride = 1;
    for (int axis = extents.rank() - 1; axis >= 0; --axis) {
        layout.set_stride(axis, stride);
        stride *= extents[axis];
    }
    return layout;
}

/// True if the elements follow one another in row-major order (extents of 1 may have any stride).
[[nodiscard]] constexpr bool is_contiguous(const Layout& layout) {
    Index stride = 1;
    for (int axis = layout.rank() - 1; axis >= 0; --axis) {
        if (layout.extents[axis] != 1 && layout.stride(axis) != stride) {
            return layout.count() == 0;
        }
        stride *= layout.extents[axis];
    }
    return true;
}

/// Axis `axis` of the result is axis `order[axis]` of `layout`.
[[nodiscard]] constexpr Layout permuted(const Layout& layout, const Extents& order) {
    require(order.rank() == layout.rank(), "permute: ", order.rank(), " axes given for rank ", layout.rank());
    Layout out = layout;
    unsigned seen = 0;
    for (int axis = 0; axis < order.rank(); ++axis) {
        const int source = static_cast<int>(order[axis]);
        require(source < layout.rank() && (seen & (1U << source)) == 0, "permute: the order is not a permutation");
        seen |= 1U << source;
        out.extents[axis] = layout.extents[source];
        out.set_stride(axis, layout.stride(source));
    }
    return out;
}

/// Elements [begin, end) of one axis.
[[nodiscard]] constexpr Layout sliced(const Layout& layout, int axis, Index begin, Index end) {
    require(axis >= 0 && axis < layout.rank(), "slice: axis ", axis, " of rank ", layout.rank());
    require(0 <= begin && begin <= end && end <= layout.extents[axis], "slice: range [", begin, ", ", end,
            ") of extent ", layout.extents[axis]);
    Layout out = layout;
    out.extents[axis] = end - begin;
    out.offset += begin * layout.stride(axis);
    return out;
}

/// Repeats extents of 1 (and missing leading axes) without copying, by stride 0.
[[nodiscard]] inline Layout expanded(const Layout& layout, const Extents& extents) {
    require(extents.rank() >= layout.rank(), "expand: ", layout.extents, " to ", extents);
    Layout out{extents, {}, layout.offset};
    const int lead = extents.rank() - layout.rank();
    for (int axis = lead; axis < extents.rank(); ++axis) {
        const Index from = layout.extents[axis - lead];
        require(from == extents[axis] || from == 1, "expand: ", layout.extents, " to ", extents);
        out.set_stride(axis, from == extents[axis] ? layout.stride(axis - lead) : 0);
    }
    return out;
}

/// The layout with other extents over the same elements, or nothing if that needs a copy.
[[nodiscard]] inline std::optional<Layout> reshaped(const Layout& layout, const Extents& extents) {
    require(extents.count() == layout.count(), "reshape: ", layout.extents, " has ", layout.count(), " elements, ",
            extents, " has ", extents.count());
    Layout out = contiguous_layout(extents);
    out.offset = layout.offset;
    if (is_contiguous(layout)) {
        return out;
    }
    // Axes of extent 1 may have any stride, so they must not take part in the comparison of strides.
    Layout from;
    for (int axis = 0; axis < layout.rank(); ++axis) {
        if (layout.extents[axis] != 1) {
            from.extents.push_back(layout.extents[axis]);
            from.set_stride(from.rank() - 1, layout.stride(axis));
        }
    }
    // Walk both from the back: groups of axes with equal products must be evenly strided in the source.
    int source = from.rank() - 1;
    int target = extents.rank() - 1;
    while (source >= 0 && target >= 0) {
        Index source_count = from.extents[source];
        Index target_count = extents[target];
        Index target_stride = from.stride(source);
        out.set_stride(target, target_stride);
        while (source_count != target_count) {
            if (source_count < target_count) {
                const Index expected = from.stride(source) * from.extents[source];
                if (--source < 0 || from.stride(source) != expected) {
                    return std::nullopt;
                }
                source_count *= from.extents[source];
            } else {
                target_stride *= extents[target];
                if (--target < 0) {
                    return std::nullopt;  // not reached, as the counts are equal: said for the compiler's warnings
                }
                out.set_stride(target, target_stride);
                target_count *= extents[target];
            }
        }
        --source;
        --target;
    }
    for (; target >= 0; --target) {
        out.set_stride(target, 1);  // only extents of 1 are left
    }
    return out;
}

/// Broadcasts as NumPy does: aligned at the last axis, extents equal or 1.
[[nodiscard]] inline Extents broadcast(const Extents& a, const Extents& b, const char* what) {
    Extents out = a.rank() >= b.rank() ? a : b;
    const Extents& shorter = a.rank() >= b.rank() ? b : a;
    const int lead = out.rank() - shorter.rank();
    for (int axis = 0; axis < shorter.rank(); ++axis) {
        Index& extent = out[axis + lead];
        require(extent == shorter[axis] || extent == 1 || shorter[axis] == 1, what, ": ", a, " and ", b,
                " do not broadcast");
        extent = extent == 1 ? shorter[axis] : extent;
    }
    return out;
}

}  // namespace flowfar
