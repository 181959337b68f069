#pragma once

/// Where the elements of strided views lie, as kernels compute it: from a running number to one offset per view.

#include <array>
#include <cstdint>
#include <cuda_runtime.h>
#include <limits>

#include "flowfar/backend/cuda/runtime/compute.cuh"
#include "flowfar/backend/rows.hpp"
#include "flowfar/core/handle.hpp"

namespace flowfar::cuda {

/// Kernels count elements in 32 bits; larger tensors are worked on in parts.
inline constexpr Index count_limit = std::numeric_limits<std::int32_t>::max();

/// Division of numbers below 2^31 by a fixed divisor as multiplication and shift (Granlund & Montgomery, "Division by
/// invariant integers using multiplication", PLDI 1994).
struct FastDivide {
    std::uint32_t divisor = 1;
    std::uint32_t multiplier = 1;
    std::uint32_t shift = 0;

    [[nodiscard]] static constexpr FastDivide by(Index number) {
        FastDivide out;
        out.divisor = static_cast<std::uint32_t>(number < 1 ? 1 : number);
        while ((std::uint64_t{1} << out.shift) < out.divisor) {
            ++out.shift;
        }
        const std::uint64_t excess = (std::uint64_t{1} << out.shift) - out.divisor;
        out.multiplier = static_cast<std::uint32_t>((excess << 32) / out.divisor + 1);
        return out;
    }
    [[nodiscard]] FLOWFAR_HD std::uint32_t quotient(std::uint32_t number) const {
        const auto high = static_cast<std::uint32_t>((std::uint64_t{number} * multiplier) >> 32);
        return (high + number) >> shift;
    }
};

/// The axes of N equally shaped views, innermost first.
template <int N>
struct Strided {
    int rank = 0;
    FastDivide extent[max_rank] = {};
    Index stride[N][max_rank] = {};

    struct Offsets {
        Index of[N];
    };
    /// Offsets of element number i in row-major order.
    [[nodiscard]] __device__ __forceinline__ Offsets at(std::uint32_t i) const {
        Offsets out = {};
#pragma unroll
        for (int axis = 0; axis < max_rank; ++axis) {
            if (axis == rank) {
                break;
            }
            std::uint32_t index = i;
            if (axis + 1 < rank) {
                i = extent[axis].quotient(index);
                index -= i * extent[axis].divisor;
            }
#pragma unroll
            for (int n = 0; n < N; ++n) {
                out.of[n] += static_cast<Index>(index) * stride[n][axis];
            }
        }
        return out;
    }

    /// The axes [0, rank − skip) of layouts that have the same extents.
    [[nodiscard]] static Strided of(const std::array<const Layout*, N>& layouts, int skip = 0) {
        Strided out;
        const int last = layouts[0]->rank() - skip - 1;
        for (int axis = last; axis >= 0; --axis) {
            const auto a = static_cast<std::size_t>(last - axis);
            out.extent[a] = FastDivide::by(layouts[0]->extents[axis]);
            for (std::size_t n = 0; n < N; ++n) {
                out.stride[n][a] = layouts[n]->stride(axis);
            }
        }
        out.rank = last + 1;
        return out;
    }
};

/// Elements of one type under a layout whose offset is already in the pointer.
template <class T>
struct View {
    T* data;
    Layout layout;

    /// The elements of h, broadcast to `extents`.
    [[nodiscard]] static View of(const Handle& h, const Extents& extents) {
        return {h.data<std::remove_const_t<T>>(), with_row_axis(expanded(h.layout, extents))};
    }
    [[nodiscard]] static View of(const Handle& h) { return of(h, h.extents()); }
    /// Elements [begin, end) of one axis.
    [[nodiscard]] View part(int axis, Index begin, Index end) const {
        View out{data + begin * layout.stride(axis), layout};
        out.layout.extents[axis] = end - begin;
        return out;
    }
};

/// Puts the axes into the order in which the first view lies in memory, so that neighboring threads write neighboring
/// elements.
template <std::size_t N>
void sort_axes(const std::array<Layout*, N>& layouts) {
    const Layout& first = *layouts[0];
    for (int end = 1; end < first.rank(); ++end) {
        for (int axis = end; axis > 0 && first.stride(axis - 1) < first.stride(axis); --axis) {
            for (Layout* layout : layouts) {
                std::swap(layout->extents[axis - 1], layout->extents[axis]);
                std::swap(layout->strides[static_cast<std::size_t>(axis - 1)],
                          layout->strides[static_cast<std::size_t>(axis)]);
            }
        }
    }
}

}  // namespace flowfar::cuda
