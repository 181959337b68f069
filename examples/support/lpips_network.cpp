// LPIPS with its three backbones, compiled once for all programs that measure with it.

#include <memory>

#include "flowfar/backend/cpu.hpp"
#include "flowfar/io/published_weights.hpp"
#include "flowfar/perceptual/lpips.hpp"

#include "pair_measures.hpp"

namespace flowfar::program {

namespace {

template <class Network>
PairDistance load(const io::Path& network, const io::Path& weights) {
    const auto lpips = std::make_shared<Lpips<Network>>();
    io::load_published(lpips->network, network);
    io::load_published(lpips->weights, weights);
    return [lpips](const io::Image& a, const io::Image& b) {
        using Images = typename Network::Images;
        return static_cast<double>(lpips->distances(io::to_tensor<Images>(a), io::to_tensor<Images>(b)).item());
    };
}

}  // namespace

PairDistance make_lpips(const std::string& backbone, const io::Path& network, const io::Path& weights) {
    if (backbone == "vgg") {
        return load<Vgg16<Cpu>>(network, weights);
    }
    if (backbone == "alex") {
        return load<AlexNet<Cpu>>(network, weights);
    }
    require(backbone == "squeeze", "LPIPS: expected vgg, alex or squeeze, found \"", backbone, '"');
    return load<SqueezeNet<Cpu>>(network, weights);
}

}  // namespace flowfar::program
