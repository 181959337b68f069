#pragma once

/// FID's Inception network and its gradient with respect to the image against pytorch-fid.

#include <doctest/doctest.h>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/published.hpp"
#include "flowfar/perceptual/inception.hpp"

#include "fixture.hpp"

namespace flowfar::testing {

/// `Network` is a FidInception on a backend with tape.
template <class Network>
void check_inception() {
    using Images = typename Network::Images;
    using Features = typename Network::Features;
    using Spatial = typename Network::Spatial;
    const Fixture fixture("inception");
    Network network;
    io::load_published(network, fixture.weights());
    {
        const auto out = network(filled<Images>("image", {2, 3, 139, 123}));
        fixture.close("features", out.features, 1e-5);
        fixture.close("spatial", out.spatial, 1e-5);
        fixture.close("logits", network.logits(out.features), 1e-5);
        fixture.close("unbiased", network.logits_without_bias(out.features), 1e-5);
    }
    const auto x = filled_leaf<Images>("image", {1, 3, 91, 75});
    {
        const auto out = network(x);
        backward(mean(out.features * filled<Features>("cotangent", out.features.extents())) +
                 mean(out.spatial * filled<Spatial>("other", out.spatial.extents())));
    }
    fixture.close("gradient", gradient_of(x), 1e-4);
    for (const auto& p : parameters(network)) {
        CHECK(p.handle->node == nullptr);
    }
    CHECK_THROWS_AS(static_cast<void>(network(Images::zeros({1, 3, 74, 80}))), Error);
}

}  // namespace flowfar::testing
