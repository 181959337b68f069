#pragma once

#include <concepts>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "flowfar/core/op_options.hpp"
#include "flowfar/core/shape.hpp"

namespace flowfar {

/// A tensor with compile-time extents S (each may be dyn) and element type T on backend B: a thin typed shell over B's
/// untyped handle. Copies share their elements; operations give new tensors, so sharing is only visible to optimizers.
template <class B, class S, class T = float>
class Tensor {
   public:
    using Backend = B;
    using Shape = S;
    using Element = T;
    using Handle = typename B::Handle;

    /// An absent tensor.
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
    /// N(0, 1) numbers: a pure function of seed and offset, the same on every backend.
    [[nodiscard]] static Tensor normal(const Extents& extents, std::uint64_t seed, std::uint64_t offset = 0) {
        return Tensor(B::normal(extents, dtype_of<T>, seed, offset));
    }
    /// U(0, 1) numbers: a pure function of seed and offset, the same on every backend.
    [[nodiscard]] static Tensor uniform(const Extents& extents, std::uint64_t seed, std::uint64_t offset = 0) {
        return Tensor(B::uniform(extents, dtype_of<T>, seed, offset));
    }

    [[nodiscard]] std::vector<T> to_host() const {
        std::vector<T> out(static_cast<std::size_t>(extents().count()));
        B::to_host(handle_, out.data());
        return out;
    }
    /// The only element.
    [[nodiscard]] T item() const {
        require(extents().count() == 1, "item: the tensor has extents ", extents());
        T value;
        B::to_host(handle_, &value);
        return value;
    }

    [[nodiscard]] bool defined() const { return handle_.defined(); }
    [[nodiscard]] Extents extents() const { return B::extents(handle_); }
    [[nodiscard]] Index extent(int axis) const { return extents()[axis < 0 ? axis + S::rank : axis]; }
    [[nodiscard]] const Handle& handle() const { return handle_; }
    [[nodiscard]] Handle& handle() { return handle_; }

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
