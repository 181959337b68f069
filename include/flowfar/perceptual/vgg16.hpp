#pragma once

#include <array>

#include "flowfar/perceptual/feature_network.hpp"

namespace flowfar {

/// VGG-16 (Simonyan & Zisserman 2015) up to its last ReLU, with torchvision's names; tapped where LPIPS does.
struct Vgg16Layout {
    template <class B, class T>
    using Features =
        Sequential<B, Conv2d<B, 3, 64, 3, T>, Relu, Conv2d<B, 64, 64, 3, T>, Relu, MaxPool2d<2, 2>,  //
                   Conv2d<B, 64, 128, 3, T>, Relu, Conv2d<B, 128, 128, 3, T>, Relu, MaxPool2d<2, 2>,
                   Conv2d<B, 128, 256, 3, T>, Relu, Conv2d<B, 256, 256, 3, T>, Relu, Conv2d<B, 256, 256, 3, T>, Relu,
                   MaxPool2d<2, 2>,  //
                   Conv2d<B, 256, 512, 3, T>, Relu, Conv2d<B, 512, 512, 3, T>, Relu, Conv2d<B, 512, 512, 3, T>, Relu,
                   MaxPool2d<2, 2>,  //
                   Conv2d<B, 512, 512, 3, T>, Relu, Conv2d<B, 512, 512, 3, T>, Relu, Conv2d<B, 512, 512, 3, T>, Relu>;
    static constexpr std::array<std::size_t, 5> taps{3, 8, 15, 22, 29};
    static constexpr std::array<Index, 5> channels{64, 128, 256, 512, 512};
    static constexpr PublishedWeights published{
        .where = "torchvision's VGG-16: https://download.pytorch.org/models/vgg16-397923af.pth",
        .skipped = "classifier."};
    static constexpr std::string_view lpips_name = "vgg";
};

/// Images of at least 16×16 pixels, standardized by the caller.
template <class B, class T = float>
using Vgg16 = FeatureNetwork<Vgg16Layout, B, T>;

}  // namespace flowfar
