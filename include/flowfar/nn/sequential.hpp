#pragma once

#include <tuple>
#include <type_traits>
#include <utility>

#include "flowfar/core/error.hpp"
#include "flowfar/core/images/conv_ops.hpp"
#include "flowfar/core/rearrange.hpp"
#include "flowfar/nn/blocks.hpp"
#include "flowfar/nn/dropout.hpp"

namespace flowfar {

/// Activations as layers. `Gelu` is the exact one, PyTorch's default; `GeluTanh` its approximation.
struct Relu {
    template <AnyTensor X>
    [[nodiscard]] X operator()(const X& x) const {
        return relu(x);
    }
};
struct Gelu {
    template <AnyTensor X>
    [[nodiscard]] X operator()(const X& x) const {
        return gelu_erf(x);
    }
};
struct GeluTanh {
    template <AnyTensor X>
    [[nodiscard]] X operator()(const X& x) const {
        return gelu_tanh(x);
    }
};
struct Silu {
    template <AnyTensor X>
    [[nodiscard]] X operator()(const X& x) const {
        return silu(x);
    }
};
struct Tanh {
    template <AnyTensor X>
    [[nodiscard]] X operator()(const X& x) const {
        return tanh(x);
    }
};

/// All axes from `First` on as one: [batch, channels, h, w] → [batch, channels·h·w], torch.nn.Flatten.
template <int First = 1>
struct Flatten {
    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x) const {
        return flatten<First>(x);
    }
};

/// The maximum of square windows as a layer: x [batch, channels, h, w].
///
///     Sequential<B, Conv2d<B, 3, 16, 3>, Relu, MaxPool2d<2, 2>> half;
template <Index Size, Index Stride, bool Ceil = false>
struct MaxPool2d {
    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x) const {
        return pool2d(x, PoolOptions::square(PoolKind::max, Size, Stride, 0, Ceil));
    }
};

/// Layers one after the other, named by their position as in torch.nn.Sequential.
///
///     Sequential<B, Flatten<>, Linear<B, 3072, 256>, Gelu, Dropout, Linear<B, 256, 10>> network;
///     network.initialize(1);
///     network.set_dropout({0.1, fold(seed, step)});   // before each training step; set_dropout({}) afterwards
///     const auto scores = network(images);
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
    /// Gives every Dropout layer this rate and a seed of its own, derived from this one. Rate 0 switches it off.
    void set_dropout(Dropout dropout) {
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            (set_dropout(std::get<I>(layers), dropout.at(std::uint64_t{I})), ...);
        }(std::index_sequence_for<Layers...>{});
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        [&]<std::size_t... I>(std::index_sequence<I...>) {
            (visit_layer(text(I), std::get<I>(self.layers), v), ...);
        }(std::index_sequence_for<Layers...>{});
    }

   private:
    template <class Layer, class V>
    static void visit_layer(const std::string& name, Layer& layer, V&& v) {
        if constexpr (requires { Layer::visit(layer, v); }) {
            v(name, layer);
        }
    }
    template <class Layer>
    static void set_dropout(Layer& layer, Dropout dropout) {
        if constexpr (std::is_same_v<Layer, Dropout>) {
            layer = dropout;
        } else if constexpr (requires { layer.set_dropout(dropout); }) {
            layer.set_dropout(dropout);
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
