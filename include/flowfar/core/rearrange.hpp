#pragma once

#include <array>

#include "flowfar/core/tensor.hpp"

namespace flowfar {

/// x with other extents, which must fit the target shape S.
template <class S, AnyTensor X>
[[nodiscard]] auto reshape(const X& x, const Extents& extents) {
    static_assert(counts_agree<typename X::Shape, S>, "reshape: the shapes have different numbers of elements");
    return WithShape<X, S>(X::Backend::reshape(x.operand("reshape"), extents));
}

/// x with the shape <Extent…>, for example `reshape<dyn, 3, dyn>(x, batch, pixels)`: run-time extents are
/// given for each dyn only.
template <Index... Extent, AnyTensor X, std::convertible_to<Index>... Dynamic>
[[nodiscard]] auto reshape(const X& x, Dynamic... dynamic) {
    return reshape<Shape<Extent...>>(x, extents_of<Shape<Extent...>>(dynamic...));
}
template <class S, AnyTensor X, std::convertible_to<Index>... Dynamic>
[[nodiscard]] auto reshape(const X& x, Dynamic... dynamic) {
    return reshape<S>(x, extents_of<S>(dynamic...));
}

/// Axis i of the result is axis Order[i] of x.
template <std::size_t... Order, AnyTensor X>
[[nodiscard]] auto permute(const X& x) {
    static_assert(sizeof...(Order) == X::Shape::rank, "permute: one entry per axis");
    using S = ShapeOf<shape_algebra::permute<typename X::Shape, Order...>()>;
    return WithShape<X, S>(X::Backend::permute(x.operand("permute"), {static_cast<Index>(Order)...}));
}

/// Exchanges the last two axes.
template <AnyTensor X>
[[nodiscard]] auto transpose(const X& x) {
    static_assert(X::Shape::rank >= 2, "transpose: needs two axes");
    constexpr int rank = X::Shape::rank;
    return [&]<std::size_t... Axis>(std::index_sequence<Axis...>) {
        return permute<(Axis + 2 < rank ? Axis : static_cast<std::size_t>(2 * rank - 3) - Axis)...>(x);
    }(std::make_index_sequence<static_cast<std::size_t>(rank)>{});
}

/// Elements [begin, end) of one axis, whose extent becomes dyn.
template <int Axis, AnyTensor X>
[[nodiscard]] auto slice(const X& x, Index begin, Index end) {
    constexpr int axis = Axis < 0 ? Axis + X::Shape::rank : Axis;
    static_assert(axis >= 0 && axis < X::Shape::rank, "slice: the tensor has no such axis");
    using S = ShapeOf<shape_algebra::replace<typename X::Shape, axis, dyn>()>;
    return WithShape<X, S>(X::Backend::slice(x.operand("slice"), axis, begin, end));
}

/// Elements [Begin, End) of one axis.
template <int Axis, Index Begin, Index End, AnyTensor X>
[[nodiscard]] auto slice(const X& x) {
    constexpr int axis = Axis < 0 ? Axis + X::Shape::rank : Axis;
    static_assert(axis >= 0 && axis < X::Shape::rank, "slice: the tensor has no such axis");
    static_assert(0 <= Begin && Begin <= End && (X::Shape::at(axis) == dyn || End <= X::Shape::at(axis)),
                  "slice: the range must lie inside the axis");
    using S = ShapeOf<shape_algebra::replace<typename X::Shape, axis, End - Begin>()>;
    return WithShape<X, S>(X::Backend::slice(x.operand("slice"), axis, Begin, End));
}

/// x without an axis of extent 1.
///
///     const auto means = squeeze<1>(mean<1>(x));   // [3, 1] → [3]
template <int Axis, AnyTensor X>
[[nodiscard]] auto squeeze(const X& x) {
    constexpr int axis = Axis < 0 ? Axis + X::Shape::rank : Axis;
    static_assert(axis >= 0 && axis < X::Shape::rank, "squeeze: the tensor has no such axis");
    static_assert(Mismatch<X::Shape::at(axis), 1>::none, "squeeze: the axis must have extent 1");
    require(x.extent(axis) == 1, "squeeze: axis ", axis, " of ", x.extents());
    using S = ShapeOf<shape_algebra::erase<typename X::Shape, axis>()>;
    return reshape<S>(x, erased(x.extents(), axis));
}

/// x with an axis of extent 1 before axis `Axis`; −1 puts it last.
///
///     const auto column = unsqueeze<-1>(x);   // [3] → [3, 1]
template <int Axis, AnyTensor X>
[[nodiscard]] auto unsqueeze(const X& x) {
    constexpr int axis = Axis < 0 ? Axis + X::Shape::rank + 1 : Axis;
    static_assert(axis >= 0 && axis <= X::Shape::rank, "unsqueeze: the result has no such axis");
    using S = ShapeOf<shape_algebra::insert<typename X::Shape, axis>()>;
    return reshape<S>(x, inserted(x.extents(), axis));
}

/// x with all axes from `First` on as one.
///
///     const auto rows = flatten<1>(images);   // [n, 3, 32, 32] → [n, 3072]
template <int First = 0, AnyTensor X>
[[nodiscard]] auto flatten(const X& x) {
    static_assert(First >= 0 && First <= X::Shape::rank, "flatten: the tensor has no such axis");
    using S = ShapeOf<shape_algebra::flatten<typename X::Shape, First>()>;
    const Extents from = x.extents();
    Extents to;
    Index count = 1;
    for (int axis = 0; axis < X::Shape::rank; ++axis) {
        if (axis < First) {
            to.push_back(from[axis]);
        } else {
            count *= from[axis];
        }
    }
    to.push_back(count);
    return reshape<S>(x, to);
}

/// Joins two or more tensors along one axis.
template <int Axis, AnyTensor X, AnyTensor... Rest>
[[nodiscard]] auto concat(const X& x, const Rest&... rest) {
    static_assert(sizeof...(Rest) >= 1, "concat: needs two operands");
    static_assert((std::is_same_v<typename X::Backend, typename Rest::Backend> && ...),
                  "concat: the operands live on different backends");
    static_assert(((X::Shape::rank == Rest::Shape::rank) && ...), "concat: the operands must have the same rank");
    constexpr int axis = Axis < 0 ? Axis + X::Shape::rank : Axis;
    constexpr Index joined = shape_algebra::add(X::Shape::at(axis), Rest::Shape::at(axis)...);
    using S = ShapeOf<shape_algebra::replace<typename X::Shape, axis, joined>()>;
    static_assert((shapes_agree<ShapeOf<shape_algebra::replace<typename Rest::Shape, axis, joined>()>, S> && ...),
                  "concat: the operands must agree in all other axes");
    const std::array<typename X::Handle, 1 + sizeof...(Rest)> parts{x.operand("concat"), rest.operand("concat")...};
    const auto check = [&](const Extents& other) {
        for (int i = 0; i < X::Shape::rank; ++i) {
            require(i == axis || x.extent(i) == other[i], "concat: ", x.extents(), " and ", other);
        }
    };
    (check(rest.extents()), ...);
    return WithShape<X, S>(X::Backend::concat(std::span<const typename X::Handle>(parts), axis));
}

/// Joins tensors of one shape along a new axis before axis `Axis`.
///
///     const auto pairs = stack<0>(a, b);   // [3], [3] → [2, 3]
template <int Axis, AnyTensor X, AnyTensor... Rest>
[[nodiscard]] auto stack(const X& x, const Rest&... rest) {
    static_assert((shapes_agree<typename Rest::Shape, typename X::Shape> && ...),
                  "stack: the operands must have the same shape");
    constexpr int axis = Axis < 0 ? Axis + X::Shape::rank + 1 : Axis;
    return concat<axis>(unsqueeze<axis>(x), unsqueeze<axis>(rest)...);
}

/// Repeats extents of 1 without copying.
template <class S, AnyTensor X>
[[nodiscard]] auto expand(const X& x, const Extents& extents) {
    static_assert(expands_to<typename X::Shape, S>, "expand: only extents of 1 can be repeated");
    return WithShape<X, S>(X::Backend::expand(x.operand("expand"), extents));
}

/// Repeats extents of 1 up to the shape <Extent…>; run-time extents are given for each dyn only.
template <Index... Extent, AnyTensor X, std::convertible_to<Index>... Dynamic>
[[nodiscard]] auto expand(const X& x, Dynamic... dynamic) {
    return expand<Shape<Extent...>>(x, extents_of<Shape<Extent...>>(dynamic...));
}

/// x under a shape that says more or less about its extents; checked at run time.
template <class S, AnyTensor X>
[[nodiscard]] auto as(const X& x) {
    static_assert(shapes_agree<typename X::Shape, S>, "as: the shapes contradict each other");
    return WithShape<X, S>(x.handle());
}

}  // namespace flowfar
