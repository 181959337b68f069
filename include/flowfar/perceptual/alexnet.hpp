#pragma once

#include <array>

#include "flowfar/perceptual/feature_network.hpp"

namespace flowfar {

/// AlexNet in its one-tower form (Krizhevsky 2014, arXiv 1404.5997) up to its last ReLU, with torchvision's names;
/// tapped where LPIPS does.
struct AlexNetLayout {
    template <class B, class T>
    using Features =
        Sequential<B, StridedConv2d<B, 3, 64, 11, 4, 2, T>, Relu, MaxPool2d<3, 2>,  //
                   Conv2d<B, 64, 192, 5, T>, Relu, MaxPool2d<3, 2>,                 //
                   Conv2d<B, 192, 384, 3, T>, Relu, Conv2d<B, 384, 256, 3, T>, Relu, Conv2d<B, 256, 256, 3, T>, Relu>;
    static constexpr std::array<std::size_t, 5> taps{1, 4, 7, 9, 11};
    static constexpr std::array<Index, 5> channels{64, 192, 384, 256, 256};
    static constexpr PublishedWeights published{
        .where = "torchvision's AlexNet: https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
        .skipped = "classifier."};
    static constexpr std::string_view lpips_name = "alex";
};

/// Images of at least 31×31 pixels, standardized by the caller.
template <class B, class T = float>
using AlexNet = FeatureNetwork<AlexNetLayout, B, T>;

}  // namespace flowfar
