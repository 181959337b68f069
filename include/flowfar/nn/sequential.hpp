#pragma once

#include <tuple>
#include <type_traits>
#include <utility>

#include "flowfar/core/error.hpp"
#include "flowfar/core/images/conv_ops.hpp"
#include "flowfar/nn/blocks.hpp"

namespace flowfar {

/// max(x, 0) as a layer.
struct Relu {
    template <AnyTensor X>
    [[nodiscard]] X operator()(const X& x) const {
        return relu(x);
    }
};

/// The maximum of square windows as a layer: x [batch, channels, h, w].
template <Index Size, Index Stride, bool Ceil = false>
struct MaxPool2d {
    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x) const {
        return pool2d(x, PoolOptions::square(PoolKind::max, Size, Stride, 0, Ceil));
    }
};

/// Layers one after the other, named by their position as in torch.nn.Sequential. A layer without members has no
/// parameters.
template <class B, class... Layers>
struct Sequential {
    using Backend = B;

    std::tuple<Layers...> layers;

    /// `observe(position, y)` sees the result of every layer.
    template <AnyTensor X, class Observer>
    [[nodiscard]] auto operator()(const X& x, Observer&& observe) const {
        return run<0>(x, observe);
    }
    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x) const {
        return (*this)(x, [](std::size_t, const auto&) {});
    }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            (visit_layer(text(I), std::get<I>(self.layers), v), ...);
        }(std::index_sequence_for<Layers...>{});
    }

   private:
    template <class Layer, class V>
    static void visit_layer(const std::string& name, Layer& layer, V&& v) {
        if constexpr (!std::is_empty_v<Layer>) {
            v(name, layer);
        }
    }
    template <std::size_t I, AnyTensor X, class Observer>
    [[nodiscard]] auto run(X x, Observer& observe) const {
        if constexpr (I == sizeof...(Layers)) {
            return x;
        } else {
            auto y = std::get<I>(layers)(x);
            x = X();  // later layers need not keep it alive
            observe(I, y);
            return run<I + 1>(std::move(y), observe);
        }
    }
};

}  // namespace flowfar
