#pragma once

// Defines make_lpips<B>() with its three backbones; included only by the units that examples/CMakeLists.txt generates
// per backend.

#include <memory>

#include "flowfar/checkpoints/published.hpp"
#include "flowfar/perceptual/lpips.hpp"

#include "common/measures/pair_measures.hpp"

namespace flowfar::program {

namespace detail {

template <class Network>
PairDistance load_lpips(const io::Path& network, const io::Path& weights) {
    const auto lpips = std::make_shared<Lpips<Network>>();
    io::load_published(lpips->network, network);
    io::load_published(lpips->weights, weights);
    return [lpips](const Image& a, const Image& b) {
        using Images = typename Network::Images;
        return static_cast<double>(lpips->distances(to_tensor<Images>(a), to_tensor<Images>(b)).item());
    };
}

}  // namespace detail

template <class B>
PairDistance make_lpips(const std::string& backbone, const io::Path& network, const io::Path& weights) {
    if (backbone == "vgg") {
        return detail::load_lpips<Vgg16<B>>(network, weights);
    }
    if (backbone == "alex") {
        return detail::load_lpips<AlexNet<B>>(network, weights);
    }
    require(backbone == "squeeze", "LPIPS: expected vgg, alex or squeeze, found \"", backbone, '"');
    return detail::load_lpips<SqueezeNet<B>>(network, weights);
}

}  // namespace flowfar::program
