#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "flowfar/core/layout.hpp"

namespace flowfar {

/// An extent that is known only at run time.
inline constexpr Index dyn = -1;

/// Compile-time extents of a tensor; each may be `dyn`.
template <Index... Extent>
struct Shape {
    static_assert(sizeof...(Extent) <= max_rank, "Shape: rank is at most 8");
    static_assert(((Extent == dyn || Extent >= 0) && ...), "Shape: extents are dyn or not negative");
    static constexpr int rank = static_cast<int>(sizeof...(Extent));
    static constexpr std::array<Index, sizeof...(Extent)> extents{Extent...};
    static constexpr int dynamic = (0 + ... + (Extent == dyn ? 1 : 0));  ///< extents that are known only at run time

    /// Extent of an axis; negative axes count from the back.
    static constexpr Index at(int axis) { return extents[static_cast<std::size_t>(axis < 0 ? axis + rank : axis)]; }
};

/// The extents of a shape whose dynamic ones are these, in order.
template <class S, std::convertible_to<Index>... Dynamic>
[[nodiscard]] Extents extents_of(Dynamic... dynamic) {
    static_assert(sizeof...(Dynamic) == S::dynamic, "extents_of: expected one extent for each dyn of the shape");
    const std::array<Index, sizeof...(Dynamic) + 1> given{static_cast<Index>(dynamic)...};
    Extents out;
    std::size_t next = 0;
    for (const Index extent : S::extents) {
        out.push_back(extent == dyn ? given[next++] : extent);
    }
    return out;
}

/// The extents of a shape with `count` elements, of which at most one is dynamic. Throws if none fit.
template <class S>
    requires(S::dynamic <= 1)
[[nodiscard]] Extents extents_for(Index count) {
    Index known = 1;
    Extents out;
    for (const Index extent : S::extents) {
        known *= extent == dyn ? 1 : extent;
        out.push_back(extent == dyn ? 0 : extent);
    }
    for (int axis = 0; axis < S::rank; ++axis) {
        if (S::at(axis) == dyn) {
            require(known > 0 && count % known == 0, count, " elements are no multiple of the ", known,
                    " that the static extents need");
            out[axis] = count / known;
        }
    }
    return out;
}

/// True if two extents can be the same at run time.
[[nodiscard]] constexpr bool compatible(Index a, Index b) {
    return a == dyn || b == dyn || a == b;
}

/// True if two shapes can be the same at run time.
template <class A, class B>
[[nodiscard]] consteval bool compatible_shapes() {
    if constexpr (A::rank != B::rank) {
        return false;
    } else {
        for (int axis = 0; axis < A::rank; ++axis) {
            if (!compatible(A::at(axis), B::at(axis))) {
                return false;
            }
        }
        return true;
    }
}

namespace detail {

template <auto Extents, class Sequence>
struct ShapeOfArray;
template <auto Extents, std::size_t... Axis>
struct ShapeOfArray<Extents, std::index_sequence<Axis...>> {
    using type = Shape<Extents[Axis]...>;
};

}  // namespace detail

/// The Shape with the extents of a constexpr std::array.
template <auto Extents>
using ShapeOf = typename detail::ShapeOfArray<Extents, std::make_index_sequence<Extents.size()>>::type;

namespace shape_algebra {

template <class S, std::size_t... Order>
[[nodiscard]] consteval auto permute() {
    return std::array<Index, sizeof...(Order)>{S::extents[Order]...};
}

template <class S, int Axis, Index Extent>
[[nodiscard]] consteval auto replace() {
    auto out = S::extents;
    out[static_cast<std::size_t>(Axis < 0 ? Axis + S::rank : Axis)] = Extent;
    return out;
}

/// Without one axis.
template <class S, int Axis>
[[nodiscard]] consteval auto erase() {
    std::array<Index, static_cast<std::size_t>(S::rank - 1)> out{};
    for (int axis = 0; axis < S::rank - 1; ++axis) {
        out[static_cast<std::size_t>(axis)] = S::at(axis < Axis ? axis : axis + 1);
    }
    return out;
}

/// With an axis of extent 1 before axis `Axis`.
template <class S, int Axis>
[[nodiscard]] consteval auto insert() {
    std::array<Index, static_cast<std::size_t>(S::rank + 1)> out{};
    for (int axis = 0; axis <= S::rank; ++axis) {
        out[static_cast<std::size_t>(axis)] = axis == Axis ? 1 : S::at(axis < Axis ? axis : axis - 1);
    }
    return out;
}

/// With all axes from `First` on as one.
template <class S, int First>
[[nodiscard]] consteval auto flatten() {
    std::array<Index, static_cast<std::size_t>(First + 1)> out{};
    Index product = 1;
    for (int axis = 0; axis < S::rank; ++axis) {
        if (axis < First) {
            out[static_cast<std::size_t>(axis)] = S::at(axis);
        } else {
            product = product == dyn || S::at(axis) == dyn ? dyn : product * S::at(axis);
        }
    }
    out[static_cast<std::size_t>(First)] = product;
    return out;
}

/// Number of elements; dyn if an extent is.
template <class S>
[[nodiscard]] consteval Index count() {
    Index product = 1;
    for (const Index extent : S::extents) {
        if (extent == dyn) {
            return dyn;
        }
        product *= extent;
    }
    return product;
}

/// Sum of the extents of one axis; dyn if any is.
template <class... Rest>
[[nodiscard]] constexpr Index add(Index first, Rest... rest) {
    return first == dyn || ((rest == dyn) || ...) ? dyn : (first + ... + rest);
}

template <class A, class B>
[[nodiscard]] consteval bool can_broadcast() {
    constexpr int shorter = A::rank < B::rank ? A::rank : B::rank;
    for (int back = 1; back <= shorter; ++back) {
        const Index a = A::at(-back);
        const Index b = B::at(-back);
        if (!(compatible(a, b) || a == 1 || b == 1)) {
            return false;
        }
    }
    return true;
}

template <class A, class B>
[[nodiscard]] consteval auto broadcast() {
    constexpr int rank = A::rank > B::rank ? A::rank : B::rank;
    std::array<Index, static_cast<std::size_t>(rank)> out{};
    for (int back = 1; back <= rank; ++back) {
        const Index a = back <= A::rank ? A::at(-back) : 1;
        const Index b = back <= B::rank ? B::at(-back) : 1;
        Index extent = a == 1 ? b : a;
        if (a == dyn && b > 1) {
            extent = b;
        }
        out[static_cast<std::size_t>(rank - back)] = extent;
    }
    return out;
}

/// True if x of shape From can be repeated up to shape To: extents are equal, or 1 in x.
template <class From, class To>
[[nodiscard]] consteval bool can_expand() {
    if constexpr (From::rank > To::rank) {
        return false;
    } else {
        for (int back = 1; back <= From::rank; ++back) {
            if (From::at(-back) != 1 && !compatible(From::at(-back), To::at(-back))) {
                return false;
            }
        }
        return true;
    }
}

}  // namespace shape_algebra

/// Conditions of static_asserts, as templates of their own: compilers then show both extents or shapes beside the
/// message, for example "Mismatch<64, 128>::none evaluates to false".
template <Index Found, Index Expected>
struct Mismatch {
    static constexpr bool none = compatible(Found, Expected);
};
template <class Found, class Expected>
inline constexpr bool shapes_agree = compatible_shapes<Found, Expected>();
template <class A, class B>
inline constexpr bool shapes_broadcast = shape_algebra::can_broadcast<A, B>();
template <class From, class To>
inline constexpr bool expands_to = shape_algebra::can_expand<From, To>();
template <class A, class B>
inline constexpr bool counts_agree = compatible(shape_algebra::count<A>(), shape_algebra::count<B>());

/// The shape of the result of an elementwise operation.
template <class A, class B>
using BroadcastShape = ShapeOf<shape_algebra::broadcast<A, B>()>;

/// Throws unless run-time extents fit these, of which each may be `dyn`.
inline void check_extents(std::span<const Index> expected, const Extents& found, const char* what) {
    const auto rank = static_cast<int>(expected.size());
    bool fits = found.rank() == rank;
    for (int axis = 0; fits && axis < rank; ++axis) {
        fits = compatible(expected[static_cast<std::size_t>(axis)], found[axis]);
    }
    if (!fits) {
        std::string list;
        for (const Index extent : expected) {
            list += text(list.empty() ? "" : ", ", extent == dyn ? "any" : std::to_string(extent));
        }
        fail(what, ": expected extents [", list, "], found ", found);
    }
}
/// Throws unless run-time extents fit the compile-time shape.
template <class S>
void check_extents(const Extents& extents, const char* what) {
    check_extents(S::extents, extents, what);
}

}  // namespace flowfar
