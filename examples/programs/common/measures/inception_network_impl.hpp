#pragma once

// Defines load_inception<B>(); included only by the units that examples/CMakeLists.txt generates per backend.

#include <memory>

#include "flowfar/checkpoints/published.hpp"
#include "flowfar/perceptual/inception.hpp"

#include "common/measures/inception_measures.hpp"

namespace flowfar::program {

template <class B>
InceptionNetwork load_inception(const io::Path& weights) {
    using Network = FidInception<B>;
    const auto network = std::make_shared<Network>();
    io::load_published(*network, weights);
    return [network](std::span<const float> input) {
        constexpr Index side = metrics::FidInput::side;
        static_assert(side == Network::image_size);
        const Index images = static_cast<Index>(input.size()) / (3 * side * side);
        const auto found = (*network)(Network::Images::from_host(input, {images, 3, side, side}));
        return InceptionOutputs{found.features.to_host(), found.spatial.to_host(),
                                network->logits_without_bias(found.features).to_host()};
    };
}

}  // namespace flowfar::program
