#pragma once

#include <array>

#include "flowfar/core/rearrange.hpp"
#include "flowfar/perceptual/feature_network.hpp"

namespace flowfar {

/// SqueezeNet's block: few channels by 1×1, then half of the output by 1×1 and half by 3×3, each with a ReLU.
template <class B, Index In, Index Squeezed, Index Out, class T = float>
struct Fire {
    using Backend = B;
    Conv2d<B, In, Squeezed, 1, T> squeeze;
    Conv2d<B, Squeezed, Out / 2, 1, T> expand1x1;
    Conv2d<B, Squeezed, Out / 2, 3, T> expand3x3;

    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x) const {
        const auto few = relu(squeeze(x));
        return relu(concat<1>(expand1x1(few), expand3x3(few)));
    }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("squeeze", self.squeeze);
        v("expand1x1", self.expand1x1);
        v("expand3x3", self.expand3x3);
    }
};

/// SqueezeNet 1.1 (Iandola et al. 2016, arXiv 1602.07360) up to its last block, with torchvision's names; tapped where
/// LPIPS does.
struct SqueezeNetLayout {
    template <class B, class T>
    using Features = Sequential<B, StridedConv2d<B, 3, 64, 3, 2, 0, T>, Relu, MaxPool2d<3, 2, true>,           //
                                Fire<B, 64, 16, 128, T>, Fire<B, 128, 16, 128, T>, MaxPool2d<3, 2, true>,      //
                                Fire<B, 128, 32, 256, T>, Fire<B, 256, 32, 256, T>, MaxPool2d<3, 2, true>,     //
                                Fire<B, 256, 48, 384, T>, Fire<B, 384, 48, 384, T>, Fire<B, 384, 64, 512, T>,  //
                                Fire<B, 512, 64, 512, T>>;
    static constexpr std::array<std::size_t, 7> taps{1, 4, 7, 9, 10, 11, 12};
    static constexpr std::array<Index, 7> channels{64, 128, 256, 384, 384, 512, 512};
    static constexpr PublishedWeights published{
        .where = "torchvision's SqueezeNet 1.1: https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
        .skipped = "classifier."};
    static constexpr std::string_view lpips_name = "squeeze";
};

/// Images of at least 25×25 pixels, standardized by the caller.
template <class B, class T = float>
using SqueezeNet = FeatureNetwork<SqueezeNetLayout, B, T>;

}  // namespace flowfar
