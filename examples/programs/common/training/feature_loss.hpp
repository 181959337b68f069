#pragma once

// A perceptual loss that needs no published weights: distances in the features of a classifier of train_classifier.

#include <vector>

#include "flowfar/perceptual/input.hpp"

#include "common/measures/feature_classifier.hpp"

namespace flowfar::program {

/// LPIPS without its learned weights, in the features of a small classifier `Network`: at each of its stages the
/// squared distance of the features' directions, averaged over pixels and images; then the sum over the stages.
/// `freeze` keeps the network's parameters out of the gradients.
template <class Network>
struct FeatureLoss {
    using Images = typename Network::AnyImages;
    using Map = typename Network::Map;

    Network network;

    /// Images [batch, 3, h, w] in [-1, 1]; what is compared with x may leave the range. Between 0 and 4 per stage.
    [[nodiscard]] auto operator()(const Images& x, const Images& other) const {
        require(x.extents() == other.extents(), "FeatureLoss: images of ", x.extents(), " and ", other.extents());
        const std::vector<Map> wanted = network.maps(x);
        const std::vector<Map> found = network.maps(other);
        auto total = distance(wanted[0], found[0]);
        for (std::size_t i = 1; i < wanted.size(); ++i) {
            total = total + distance(wanted[i], found[i]);
        }
        return loss_of_signed_unit(x, total, "FeatureLoss");
    }

   private:
    [[nodiscard]] static auto distance(const Map& a, const Map& b) {
        return mean(square(direction(a) - direction(b))) * static_cast<double>(a.extent(1));
    }
    [[nodiscard]] static Map direction(const Map& x) {
        return x / (sqrt(clamp(sum<1>(square(x)), 1e-36, 1e36)) + 1e-10);
    }
};

}  // namespace flowfar::program
