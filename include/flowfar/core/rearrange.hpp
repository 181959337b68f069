#pragma once

#include <array>

#include "flowfar/core/tensor.hpp"

namespace flowfar {

/// x with other extents, which must fit the target shape S.
template <class S, AnyTensor X>
[[nodiscard]] auto reshape(const X& x, const Extents& extents) {
    static_assert(compatible(shape_algebra::count<S>(), shape_algebra::count<typename X::Shape>()),
                  "reshape: the shapes have different numbers of elements");
    return WithShape<X, S>(X::Backend::reshape(x.handle(), extents));
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
    return WithShape<X, S>(X::Backend::permute(x.handle(), {static_cast<Index>(Order)...}));
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
    return WithShape<X, S>(X::Backend::slice(x.handle(), axis, begin, end));
}

/// Elements [Begin, End) of one axis.
template <int Axis, Index Begin, Index End, AnyTensor X>
[[nodiscard]] auto slice(const X& x) {
    constexpr int axis = Axis < 0 ? Axis + X::Shape::rank : Axis;
    static_assert(axis >= 0 && axis < X::Shape::rank, "slice: the tensor has no such axis");
    static_assert(0 <= Begin && Begin <= End && (X::Shape::at(axis) == dyn || End <= X::Shape::at(axis)),
                  "slice: the range must lie inside the axis");
    using S = ShapeOf<shape_algebra::replace<typename X::Shape, axis, End - Begin>()>;
    return WithShape<X, S>(X::Backend::slice(x.handle(), axis, Begin, End));
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
    static_assert(
        (compatible_shapes<S, ShapeOf<shape_algebra::replace<typename Rest::Shape, axis, joined>()>>() && ...),
        "concat: the operands must agree in all other axes");
    const std::array<typename X::Handle, 1 + sizeof...(Rest)> parts{x.handle(), rest.handle()...};
    const auto check = [&](const Extents& other) {
        for (int i = 0; i < X::Shape::rank; ++i) {
            require(i == axis || x.extent(i) == other[i], "concat: ", x.extents(), " and ", other);
        }
    };
    (check(rest.extents()), ...);
    return WithShape<X, S>(X::Backend::concat(std::span<const typename X::Handle>(parts), axis));
}

/// Repeats extents of 1 without copying.
template <class S, AnyTensor X>
[[nodiscard]] auto expand(const X& x, const Extents& extents) {
    return WithShape<X, S>(X::Backend::expand(x.handle(), extents));
}

/// Repeats extents of 1 up to the shape <Extent…>; run-time extents are given for each dyn only.
template <Index... Extent, AnyTensor X, std::convertible_to<Index>... Dynamic>
[[nodiscard]] auto expand(const X& x, Dynamic... dynamic) {
    return expand<Shape<Extent...>>(x, extents_of<Shape<Extent...>>(dynamic...));
}

/// x under a shape that says more or less about its extents; checked at run time.
template <class S, AnyTensor X>
[[nodiscard]] auto as(const X& x) {
    static_assert(compatible_shapes<S, typename X::Shape>(), "as: the shapes contradict each other");
    return WithShape<X, S>(x.handle());
}

}  // namespace flowfar
