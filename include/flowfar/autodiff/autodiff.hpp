#pragma once

#include "flowfar/autodiff/rules/conv.hpp"
#include "flowfar/autodiff/rules/elementwise.hpp"
#include "flowfar/autodiff/rules/fused.hpp"
#include "flowfar/autodiff/rules/matmul.hpp"
#include "flowfar/autodiff/rules/reduce.hpp"
#include "flowfar/autodiff/rules/shape.hpp"
#include "flowfar/backend/composite_linear.hpp"
#include "flowfar/core/memory_pool.hpp"

namespace flowfar {

/// The backend B with a tape: each operation computes with B and records how gradients flow back. Instantiate a model
/// with `Autodiff<Cpu>` to train it; with `Cpu` it contains no tape code. A graph belongs to one thread at a time and
/// is owned by its outputs; nothing is global.
///
///     using Tape = Autodiff<Cpu>;
///     const auto x = leaf(Tensor<Tape, Shape<3>>::of({1, 2, 3}));
///     backward(sum(square(x)));   // gradient(x) is 2 x
template <PlainBackend B>
struct Autodiff : rules::Elementwise<B>,
                  rules::Reduce<B>,
                  rules::Matmul<B>,
                  rules::Shape<B>,
                  rules::Fused<B>,
                  rules::Conv<B>,
                  CompositeLinear<Autodiff<B>, Tracked<B>> {
    using Inner = B;
    using Handle = Tracked<B>;
    using H = typename B::Handle;

    [[nodiscard]] static std::string_view name() { return B::name(); }
    [[nodiscard]] static bool available() { return B::available(); }

    /// A leaf: gradients arrive here. It starts without one.
    [[nodiscard]] static Handle leaf(H value) {
        auto node = std::allocate_shared<Node<B>>(PoolAllocator<Node<B>>());
        node->leaf = true;
        return {std::move(value), std::move(node)};
    }
    /// A value without gradient.
    [[nodiscard]] static Handle constant(H value) { return {std::move(value), nullptr}; }

    [[nodiscard]] static Extents extents(const Handle& h) { return B::extents(h.value); }
    [[nodiscard]] static DType dtype(const Handle& h) { return B::dtype(h.value); }
    [[nodiscard]] static Handle empty(const Extents& e, DType dtype) { return constant(B::empty(e, dtype)); }
    [[nodiscard]] static Handle full(const Extents& e, DType dtype, double value) {
        return constant(B::full(e, dtype, value));
    }
    [[nodiscard]] static Handle from_host(const void* data, const Extents& e, DType dtype) {
        return constant(B::from_host(data, e, dtype));
    }
    static void to_host(const Handle& h, void* data) { B::to_host(h.value, data); }
    static void synchronize() { B::synchronize(); }
    [[nodiscard]] static Handle uniform(const Extents& e, DType dtype, std::uint64_t seed, std::uint64_t offset) {
        return constant(B::uniform(e, dtype, seed, offset));
    }
    [[nodiscard]] static Handle normal(const Extents& e, DType dtype, std::uint64_t seed, std::uint64_t offset) {
        return constant(B::normal(e, dtype, seed, offset));
    }
};

template <class B>
inline constexpr bool is_autodiff = false;
template <class B>
inline constexpr bool is_autodiff<Autodiff<B>> = true;

/// The backend without its tape: B for `Autodiff<B>`, else the backend itself.
template <class B>
struct PlainOf {
    using type = B;
};
template <class B>
struct PlainOf<Autodiff<B>> {
    using type = B;
};
template <class B>
using Plain = typename PlainOf<B>::type;

/// The value of a handle of any backend, without its tape.
template <class B>
[[nodiscard]] const typename Plain<B>::Handle& value_of(const typename B::Handle& h) {
    if constexpr (is_autodiff<B>) {
        return h.value;
    } else {
        return h;
    }
}

}  // namespace flowfar
