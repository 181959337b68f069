#pragma once

/// One backbone and the LPIPS on it against PyTorch.

#include <doctest/doctest.h>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/published.hpp"
#include "flowfar/perceptual/lpips.hpp"

#include "fixture.hpp"

namespace flowfar::testing {

/// `Metric` is an Lpips on a backend with tape.
template <class Metric>
void check_backbone(const std::string& name, Index height, Index width) {
    using Images = typename Metric::Images;
    using Map = typename Metric::Map;
    const Fixture fixture(name);
    Metric metric;
    io::load_published(metric.network, fixture.weights());
    io::load_published(metric.weights, fixture.weights("lpips"));

    const auto x = filled_leaf<Images>("image", {1, 3, height, width});
    {
        const std::vector<Map> maps = metric.network(x);
        REQUIRE(maps.size() == Metric::Network::channels.size());
        for (std::size_t i = 0; i < maps.size(); ++i) {
            CHECK(maps[i].extents() == fixture.extents(text("extents", i)));
            fixture.close(text("tap", i), maps[i], 1e-5);
        }
        auto loss = mean(maps[0] * filled<Map>("cotangent0", maps[0].extents()));
        for (std::size_t i = 1; i < maps.size(); ++i) {
            loss = loss + mean(maps[i] * filled<Map>(text("cotangent", i), maps[i].extents()));
        }
        backward(loss);
    }
    fixture.close("gradient", gradient_of(x), 1e-4);

    const Extents pair{2, 3, height, width};
    const auto originals = filled<Images>("image", pair);
    const auto predictions = filled<Images>("prediction", pair);
    const auto distances = metric.distances(originals, predictions);
    fixture.close("lpips", distances, 1e-5);
    CHECK(metric(originals, predictions).item() == mean(distances).item());

    const auto prediction = filled_leaf<Images>("prediction", x.extents());
    backward(metric(filled<Images>("image", x.extents()), prediction));
    fixture.close("lpips.gradient", gradient_of(prediction), 1e-4);
    for (const auto& p : parameters(metric)) {
        CHECK(p.handle->node == nullptr);  // frozen: no room for gradients
    }
    for (const float distance : metric.distances(originals, originals).to_host()) {
        CHECK(distance == 0.0F);
    }
}

}  // namespace flowfar::testing
