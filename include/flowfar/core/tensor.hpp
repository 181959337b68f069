#pragma once

#include <concepts>
#include <initializer_list>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "flowfar/core/op_options.hpp"
#include "flowfar/core/shape.hpp"

namespace flowfar {

/// Element types of tensors: backends compute with the first three; Index holds rows and labels.
template <class T>
concept TensorElement =
    std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, bf16> || std::same_as<T, Index>;

/// Why a tensor cannot become another: the reasons that compilers name when they refuse an assignment or a return.
template <class Shape, class Other>
concept ShapesDiffer = !shapes_agree<Other, Shape>;
template <class Element, class Other>
concept ElementsDiffer = !std::same_as<Element, Other>;
template <class Backend, class Other>
concept BackendsDiffer = !std::same_as<Backend, Other>;

namespace detail {

/// Throws for an operand without elements; `extents` belong to a parameter, or have rank 0.
[[noreturn]] inline void fail_absent(std::string_view operation, const Extents& extents) {
    if (extents.rank() > 0) {
        fail(operation, ": a parameter ", extents, " has no values yet; initialize the model or load it");
    }
    fail(operation, ": an operand is absent (a tensor that was constructed without arguments)");
}

}  // namespace detail

/// A tensor with compile-time extents S (each may be dyn) and element type T on backend B: a thin typed shell over B's
/// untyped handle. Copies share their elements; operations give new tensors, so sharing is only visible to optimizers.
///
///     using Matrix = Tensor<Cpu, Shape<2, 3>>;
///     const auto x = Matrix::of({{1, 2, 3}, {4, 5, 6}});
///     std::cout << x + Matrix::normal(7) << x.at(1, -1);   // the last is 6
template <class B, class S, class T = float>
class Tensor {
   public:
    static_assert(
        TensorElement<T>,
        "Tensor: elements are float, double, bf16 or Index (std::int64_t); no backend computes with others, so "
        "convert them first");
    using Backend = B;
    using Shape = S;
    using Element = T;
    using Handle = typename B::Handle;

    /// An absent tensor. Operations that need its elements throw `Error`.
    Tensor() = default;
    /// Wraps a handle; throws unless its extents fit S and its element type is T.
    explicit Tensor(Handle handle) : handle_(std::move(handle)) {
        check_extents<S>(B::extents(handle_), "Tensor");
        require(B::dtype(handle_) == dtype_of<T>, "Tensor: expected elements ", name_of(dtype_of<T>), ", found ",
                name_of(B::dtype(handle_)));
    }

    /// This tensor under a shape that knows more or less of its extents; what becomes static is checked.
    template <class Other>
        requires(compatible_shapes<S, Other>())
    Tensor(const Tensor<B, Other, T>& other) : handle_(other.handle()) {
        if (handle_.defined()) {
            check_extents<S>(B::extents(handle_), "Tensor");
        }
    }
    /// Shapes that contradict each other: `reshape`, `slice` or `as` makes one of the other.
    template <class Other>
        requires ShapesDiffer<S, Other>
    Tensor(const Tensor<B, Other, T>&) = delete;
    /// `cast<T>(x)` converts elements.
    template <class Other, class OtherElement>
        requires ElementsDiffer<T, OtherElement>
    Tensor(const Tensor<B, Other, OtherElement>&) = delete;
    /// Elements move between backends through the host: `to_host` and `from_host`.
    template <class OtherBackend, class Other, class OtherElement>
        requires BackendsDiffer<B, OtherBackend>
    Tensor(const Tensor<OtherBackend, Other, OtherElement>&) = delete;

    [[nodiscard]] static Tensor full(const Extents& extents, double value) {
        return Tensor(B::full(extents, dtype_of<T>, value));
    }
    [[nodiscard]] static Tensor zeros(const Extents& extents) { return full(extents, 0.0); }
    /// With run-time extents for each dyn of the shape only, for example `Images::full(1.0, batch)`.
    template <std::floating_point Value, std::integral... Dynamic>
    [[nodiscard]] static Tensor full(Value value, Dynamic... dynamic)
        requires(sizeof...(Dynamic) == S::dynamic)
    {
        return full(extents_of<S>(dynamic...), static_cast<double>(value));
    }
    template <std::integral... Dynamic>
    [[nodiscard]] static Tensor zeros(Dynamic... dynamic)
        requires(sizeof...(Dynamic) == S::dynamic)
    {
        return zeros(extents_of<S>(dynamic...));
    }
    /// Copies row-major host data; throws unless there are exactly as many elements as the extents say.
    [[nodiscard]] static Tensor from_host(std::span<const T> data, const Extents& extents) {
        require(static_cast<Index>(data.size()) == extents.count(), "from_host: ", data.size(), " elements for ",
                extents);
        return Tensor(B::from_host(data.data(), extents, dtype_of<T>));
    }
    /// With the shape's extents; the one that is dyn, if any, follows from the number of elements.
    [[nodiscard]] static Tensor from_host(std::span<const T> data)
        requires(S::dynamic <= 1)
    {
        return from_host(data, extents_for<S>(static_cast<Index>(data.size())));
    }
    /// The elements, row by row: `Vector::of({1, 2, 3})`. Matrices are lists of rows: `Matrix::of({{1, 2}, {3, 4}})`.
    [[nodiscard]] static Tensor of(std::initializer_list<T> values)
        requires(S::rank != 2 && S::dynamic <= 1)
    {
        return from_host(std::span<const T>(values.begin(), values.size()));
    }
    [[nodiscard]] static Tensor of(std::initializer_list<std::initializer_list<T>> rows)
        requires(S::rank == 2)
    {
        const std::size_t columns = rows.size() == 0 ? 0 : rows.begin()->size();
        std::vector<T> values;
        for (const std::initializer_list<T>& row : rows) {
            require(row.size() == columns, "of: rows of ", columns, " and ", row.size(), " elements");
            values.insert(values.end(), row.begin(), row.end());
        }
        return from_host(values, {static_cast<Index>(rows.size()), static_cast<Index>(columns)});
    }
    /// N(0, 1) numbers: a pure function of seed and offset, the same on every backend.
    [[nodiscard]] static Tensor normal(const Extents& extents, std::uint64_t seed, std::uint64_t offset = 0) {
        return Tensor(B::normal(extents, dtype_of<T>, seed, offset));
    }
    [[nodiscard]] static Tensor normal(std::uint64_t seed)
        requires(S::dynamic == 0)
    {
        return normal(extents_of<S>(), seed);
    }
    /// U(0, 1) numbers: a pure function of seed and offset, the same on every backend.
    [[nodiscard]] static Tensor uniform(const Extents& extents, std::uint64_t seed, std::uint64_t offset = 0) {
        return Tensor(B::uniform(extents, dtype_of<T>, seed, offset));
    }
    [[nodiscard]] static Tensor uniform(std::uint64_t seed)
        requires(S::dynamic == 0)
    {
        return uniform(extents_of<S>(), seed);
    }

    /// All elements, row by row.
    [[nodiscard]] std::vector<T> to_host() const {
        const Handle& h = operand("to_host");
        std::vector<T> out(static_cast<std::size_t>(extents().count()));
        B::to_host(h, out.data());
        return out;
    }
    /// The only element.
    [[nodiscard]] T item() const {
        const Handle& h = operand("item");
        require(extents().count() == 1, "item: the tensor has extents ", extents());
        T value;
        B::to_host(h, &value);
        return value;
    }
    /// One element, for example `x.at(1, -1)`: negative indices count from the back. Every call fetches it from the
    /// device; `to_host` fetches all at once.
    template <std::integral... Position>
        requires(sizeof...(Position) == S::rank)
    [[nodiscard]] T at(Position... position) const {
        Handle h = operand("at");
        int axis = 0;
        [[maybe_unused]] const auto keep = [&](Index index) {
            const Index count = extent(axis);
            require(-count <= index && index < count, "at: index ", index, " of axis ", axis, " with extent ", count);
            const Index begin = index < 0 ? index + count : index;
            h = B::slice(h, axis++, begin, begin + 1);
        };
        (keep(static_cast<Index>(position)), ...);
        T value;
        B::to_host(h, &value);
        return value;
    }

    [[nodiscard]] bool defined() const { return handle_.defined(); }
    /// Whether this is a parameter that has its extents but no values yet (`make_parameter`).
    [[nodiscard]] bool awaits_values() const {
        return !handle_.defined() && S::rank > 0 && B::extents(handle_).rank() == S::rank;
    }
    /// Whether there is nothing here, not even a parameter that awaits its values.
    [[nodiscard]] bool absent() const { return !handle_.defined() && !awaits_values(); }
    [[nodiscard]] Extents extents() const {
        if (absent()) {
            detail::fail_absent("extents", {});
        }
        return B::extents(handle_);
    }
    /// Extent of an axis; negative axes count from the back.
    [[nodiscard]] Index extent(int axis) const {
        require(-S::rank <= axis && axis < S::rank, "extent: axis ", axis, " of a tensor of rank ", S::rank);
        return extents()[axis < 0 ? axis + S::rank : axis];
    }
    [[nodiscard]] const Handle& handle() const { return handle_; }
    [[nodiscard]] Handle& handle() { return handle_; }
    /// The handle of a tensor whose elements `operation` needs: throws `Error` if it has none.
    [[nodiscard]] const Handle& operand(std::string_view operation) const {
        if (!handle_.defined()) {
            detail::fail_absent(operation, B::extents(handle_));
        }
        return handle_;
    }
    /// The handle of an operand that may be absent, but not a parameter without values.
    [[nodiscard]] const Handle& optional_operand(std::string_view operation) const {
        if (awaits_values()) {
            detail::fail_absent(operation, B::extents(handle_));
        }
        return handle_;
    }

   private:
    Handle handle_;
};

template <class X>
inline constexpr bool is_tensor = false;
template <class B, class S, class T>
inline constexpr bool is_tensor<Tensor<B, S, T>> = true;

template <class X>
concept AnyTensor = is_tensor<std::remove_cvref_t<X>>;

/// True if all tensors live on one backend.
template <AnyTensor X, AnyTensor... Rest>
inline constexpr bool same_backend = (std::is_same_v<typename X::Backend, typename Rest::Backend> && ...);

/// The tensor type with X's backend and element type and another shape.
template <AnyTensor X, class S>
using WithShape = Tensor<typename X::Backend, S, typename X::Element>;

}  // namespace flowfar
