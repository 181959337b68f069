#pragma once

#include "flowfar/autodiff/checkpoint.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/tensor.hpp"

namespace flowfar {

/// Adds the gradients of a scalar loss, times `scale`, to all leaves that it depends on. Consumes the graph.
template <AnyTensor X>
void backward(const X& loss, double scale = 1.0) {
    using B = typename X::Backend;
    static_assert(is_autodiff<B>,
                  "backward: this tensor belongs to an inference backend; train with Autodiff<Backend>");
    static_assert(X::Shape::rank == 0, "backward: the loss must be a scalar; reduce it with mean() or sum()");
    if constexpr (is_autodiff<B>) {
        using P = typename B::Inner;
        const Root<P> root{loss.handle().node, P::full({}, dtype_of<typename X::Element>, scale)};
        propagate<P>(std::span<const Root<P>>(&root, 1));
    }
}

/// A tensor that collects gradients. On a backend without tape it is x itself.
template <AnyTensor X>
[[nodiscard]] X leaf(const X& x) {
    if constexpr (is_autodiff<typename X::Backend>) {
        return X(X::Backend::leaf(x.handle().value));
    } else {
        return x;
    }
}

/// x without gradient: a constant with its values.
template <AnyTensor X>
[[nodiscard]] X detach(const X& x) {
    if constexpr (is_autodiff<typename X::Backend>) {
        return X(X::Backend::constant(x.handle().value));
    } else {
        return x;
    }
}

/// The gradient collected in a leaf, or an absent tensor.
template <AnyTensor X>
[[nodiscard]] auto gradient(const X& x) {
    static_assert(is_autodiff<typename X::Backend>,
                  "gradient: this tensor belongs to an inference backend; train with Autodiff<Backend>");
    using G = Tensor<Plain<typename X::Backend>, typename X::Shape, typename X::Element>;
    const auto& node = x.handle().node;
    return node == nullptr || !node->gradient.defined() ? G() : G(node->gradient);
}

/// `f(inputs…)`, a tensor or a pair of tensors, recomputed in the backward pass instead of kept (Chen et al. 2016).
/// What f captures by reference must live until then. On a backend without tape it just calls f.
template <class F, AnyTensor X, AnyTensor... Rest>
[[nodiscard]] auto checkpoint(F f, const X& x, const Rest&... rest) {
    using B = typename X::Backend;
    using Result = decltype(f(x, rest...));
    if constexpr (!is_autodiff<B>) {
        return f(x, rest...);
    } else {
        const auto run = [f](const auto& handles) {
            return [&]<std::size_t... I>(std::index_sequence<I...>) {
                Result y = f(X(handles[0]), Rest(handles[I + 1])...);
                if constexpr (is_tensor<Result>) {
                    return PoolVector<typename B::Handle>{y.handle()};
                } else {
                    return PoolVector<typename B::Handle>{y.first.handle(), y.second.handle()};
                }
            }(std::index_sequence_for<Rest...>{});
        };
        const auto out = checkpoint_handles<typename B::Inner>(run, {x.handle(), rest.handle()...});
        if constexpr (is_tensor<Result>) {
            return Result(out[0]);
        } else {
            return Result(typename Result::first_type(out[0]), typename Result::second_type(out[1]));
        }
    }
}

}  // namespace flowfar
