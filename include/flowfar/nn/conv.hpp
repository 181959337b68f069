#pragma once

#include "flowfar/core/images/conv_ops.hpp"
#include "flowfar/nn/init.hpp"

namespace flowfar {

/// A map of features [batch, Channels, height, width].
template <class B, Index Channels, class T = float>
using FeatureMap = Tensor<B, Shape<dyn, Channels, dyn, dyn>, T>;

/// 2-D convolution: x [batch, In, h, w] → [batch, Out, …]. The weight is stored [Out, In, Height, Width], as in
/// PyTorch; by default the size of the image is kept.
///
///     RectangularConv2d<B, 3, 16, 1, 7> row;   // kernels of 1 x 7 pixels
template <class B, Index In, Index Out, Index Height, Index Width, class T = float>
struct RectangularConv2d {
    using Backend = B;
    using Weight = Tensor<B, Shape<Out, In, Height, Width>, T>;
    using Bias = Tensor<B, Shape<Out>, T>;

    ConvOptions options = ConvOptions::same(Height, Width);
    Weight weight = make_parameter<Weight>();
    Bias bias = make_parameter<Bias>();

    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x) const {
        return conv2d(x, weight, bias, options);
    }

    /// PyTorch's default: weight and bias U(±1/√fan_in).
    void initialize(std::uint64_t seed) {
        const double bound = 1.0 / std::sqrt(static_cast<double>(In * Height * Width));
        init::uniform(weight, bound, fold(seed, "weight"));
        init::uniform(bias, bound, fold(seed, "bias"));
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("weight", self.weight);
        v("bias", self.bias);
    }
};

/// 2-D convolution with a square kernel.
///
///     Conv2d<B, 3, 16, 3> conv;   // [n, 3, h, w] → [n, 16, h, w]
template <class B, Index In, Index Out, Index Kernel, class T = float>
using Conv2d = RectangularConv2d<B, In, Out, Kernel, Kernel, T>;

/// A convolution whose step and padding belong to its type.
///
///     StridedConv2d<B, 3, 16, 3, 2, 1> half;   // [n, 3, h, w] → [n, 16, h/2, w/2]
template <class B, Index In, Index Out, Index Kernel, Index Stride, Index Padding, class T = float>
struct StridedConv2d : Conv2d<B, In, Out, Kernel, T> {
    StridedConv2d() : Conv2d<B, In, Out, Kernel, T>{.options = ConvOptions::square(Stride, Padding)} {}
};

/// Group norm with weight and bias per channel: x [batch, Channels, …].
///
///     GroupNorm<B, 64, 8> norm;   // 8 groups of 8 channels
template <class B, Index Channels, Index Groups, class T = float>
struct GroupNorm {
    static_assert(Channels % Groups == 0, "GroupNorm: the number of groups must divide the channels");
    using Backend = B;
    using Vector = Tensor<B, Shape<Channels>, T>;

    double epsilon = 1e-6;
    Vector weight = make_parameter<Vector>();
    Vector bias = make_parameter<Vector>();

    template <AnyTensor X>
    [[nodiscard]] X operator()(const X& x) const {
        return group_norm(x, weight, bias, Groups, epsilon);
    }
    /// SiLU of it, in one pass where the backend has one.
    template <AnyTensor X>
    [[nodiscard]] X activated(const X& x) const {
        if constexpr (requires { B::group_norm_silu(x.handle(), x.handle(), x.handle(), Groups, epsilon); }) {
            static_assert(X::Shape::at(1) == Channels || X::Shape::at(1) == dyn, "GroupNorm: the input's channels");
            return X(B::group_norm_silu(x.operand("group_norm"), weight.operand("group_norm"),
                                        bias.operand("group_norm"), Groups, epsilon));
        } else {
            return silu((*this)(x));
        }
    }
    void initialize(std::uint64_t /*seed*/) {
        init::constant(weight, 1.0);
        init::constant(bias, 0.0);
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("weight", self.weight);
        v("bias", self.bias);
    }
};

}  // namespace flowfar
