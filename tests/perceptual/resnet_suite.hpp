#pragma once

/// ResNet-50's features and logits, and the logits' gradient with respect to the image, against PyTorch.

#include <doctest/doctest.h>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/published.hpp"
#include "flowfar/perceptual/resnet_loss.hpp"

#include "fixture.hpp"

namespace flowfar::testing {

/// `Network` is a ResNet50 on a backend with tape, its weights loaded.
template <class Network>
void check_resnet(const Network& network, const Fixture& fixture) {
    using Images = typename Network::Images;
    {
        const auto x = filled<Images>("image", {2, 3, 64, 80});
        fixture.close("features", network.features(x), 1e-5);
        fixture.close("logits", network.logits(x), 1e-5);
    }
    const auto x = filled_leaf<Images>("image", {1, 3, 64, 48});
    backward(mean(network.logits(x) * filled<typename Network::Logits>("cotangent", {1, 1000})));
    fixture.close("gradient", gradient_of(x), 1e-4);
    for (const auto& p : parameters(network)) {
        CHECK(p.handle->node == nullptr);  // frozen: no room for gradients
    }
}

}  // namespace flowfar::testing
