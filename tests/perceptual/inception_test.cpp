#include "flowfar/perceptual/inception.hpp"

#include <doctest/doctest.h>

#include "flowfar/backend/cpu.hpp"
#include "flowfar/io/published_weights.hpp"

#include "fixture.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("FidInception: features, spatial features, logits and their input gradient are pytorch-fid's") {
    using Network = FidInception<Autodiff<Cpu>>;
    const Fixture fixture("inception");
    Network network;
    io::load_published(network, fixture.weights());
    {
        const auto out = network(filled<Network::Images>("image", {2, 3, 139, 123}));
        fixture.close("features", out.features, 1e-5);
        fixture.close("spatial", out.spatial, 1e-5);
        fixture.close("logits", network.logits(out.features), 1e-5);
        fixture.close("unbiased", network.logits_without_bias(out.features), 1e-5);
    }
    const auto x = filled_leaf<Network::Images>("image", {1, 3, 91, 75});
    {
        const auto out = network(x);
        backward(mean(out.features * filled<Network::Features>("cotangent", out.features.extents())) +
                 mean(out.spatial * filled<Network::Spatial>("other", out.spatial.extents())));
    }
    fixture.close("gradient", gradient_of(x), 1e-4);
    for (const auto& p : parameters(network)) {
        CHECK(p.handle->node == nullptr);
    }
    CHECK_THROWS_AS(static_cast<void>(network(Network::Images::zeros({1, 3, 74, 80}))), Error);
}
