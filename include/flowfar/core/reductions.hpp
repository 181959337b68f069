#pragma once

#include "flowfar/core/tensor.hpp"

namespace flowfar {

/// Asks a reduction to drop its axis, which otherwise stays with extent 1 so that results broadcast:
///
///     mean<1>(x)              // [3, 4] → [3, 1]
///     mean<1>(x, drop_axis)   // [3, 4] → [3]
struct DropAxis {};
inline constexpr DropAxis drop_axis{};

[[nodiscard]] constexpr std::string_view name_of(ReduceOp op) {
    constexpr std::string_view names[] = {"sum", "mean", "max", "sum_squares"};
    return names[static_cast<std::size_t>(op)];
}

namespace detail {

/// Over all elements.
template <AnyTensor X>
[[nodiscard]] auto reduce_all(ReduceOp op, const X& x) {
    const auto& handle = x.operand(name_of(op));
    require(op != ReduceOp::max || x.extents().count() > 0, "max: the tensor has no elements");
    return WithShape<X, Shape<>>(X::Backend::reduce(op, handle, Axes::all(X::Shape::rank), ReducedAxes::drop));
}

}  // namespace detail

/// Reduction over one axis, which stays with extent 1.
template <int Axis, AnyTensor X>
[[nodiscard]] auto reduce_axis(ReduceOp op, const X& x) {
    static_assert(Axis >= -X::Shape::rank && Axis < X::Shape::rank, "reduce: the tensor has no such axis");
    constexpr int axis = Axis < 0 ? Axis + X::Shape::rank : Axis;
    using S = ShapeOf<shape_algebra::replace<typename X::Shape, axis, 1>()>;
    return WithShape<X, S>(X::Backend::reduce(op, x.operand(name_of(op)), Axes::only(axis), ReducedAxes::keep));
}
/// Reduction over one axis, which the result does not have.
template <int Axis, AnyTensor X>
[[nodiscard]] auto reduce_axis(ReduceOp op, const X& x, DropAxis) {
    static_assert(Axis >= -X::Shape::rank && Axis < X::Shape::rank, "reduce: the tensor has no such axis");
    constexpr int axis = Axis < 0 ? Axis + X::Shape::rank : Axis;
    using S = ShapeOf<shape_algebra::erase<typename X::Shape, axis>()>;
    return WithShape<X, S>(X::Backend::reduce(op, x.operand(name_of(op)), Axes::only(axis), ReducedAxes::drop));
}

// clang-format off
/// Sum, mean, maximum and sum of squares over all elements, or over one axis: `sum(x)`, `max<-1>(x)`. The
/// gradient of a maximum goes in equal parts to all elements that attain it.
template <AnyTensor X> [[nodiscard]] auto sum(const X& x) { return detail::reduce_all(ReduceOp::sum, x); }
template <AnyTensor X> [[nodiscard]] auto mean(const X& x) { return detail::reduce_all(ReduceOp::mean, x); }
template <AnyTensor X> [[nodiscard]] auto max(const X& x) { return detail::reduce_all(ReduceOp::max, x); }
template <AnyTensor X> [[nodiscard]] auto sum_squares(const X& x) { return detail::reduce_all(ReduceOp::sum_squares, x); }
template <int Axis, AnyTensor X> [[nodiscard]] auto sum(const X& x) { return reduce_axis<Axis>(ReduceOp::sum, x); }
template <int Axis, AnyTensor X> [[nodiscard]] auto mean(const X& x) { return reduce_axis<Axis>(ReduceOp::mean, x); }
template <int Axis, AnyTensor X> [[nodiscard]] auto max(const X& x) { return reduce_axis<Axis>(ReduceOp::max, x); }
template <int Axis, AnyTensor X> [[nodiscard]] auto sum(const X& x, DropAxis drop) { return reduce_axis<Axis>(ReduceOp::sum, x, drop); }
template <int Axis, AnyTensor X> [[nodiscard]] auto mean(const X& x, DropAxis drop) { return reduce_axis<Axis>(ReduceOp::mean, x, drop); }
template <int Axis, AnyTensor X> [[nodiscard]] auto max(const X& x, DropAxis drop) { return reduce_axis<Axis>(ReduceOp::max, x, drop); }
// clang-format on

}  // namespace flowfar
