#pragma once

#include <algorithm>
#include <vector>

#include "flowfar/nn/conv.hpp"
#include "flowfar/nn/sequential.hpp"
#include "flowfar/perceptual/published.hpp"

namespace flowfar {

/// The convolutional part of a classifier, frozen, as a source of features. `Layout` names its layers, `taps` (after
/// which of them features are taken, and with how many `channels`) and where its weights are published; see vgg16.hpp.
/// Parameters are unset until a loader or `initialize` fills them.
///
///     const auto network = load<Vgg16<Cpu>>("vgg16-397923af.pth");
///     const auto maps = network(images);   // one map per tap
template <class Layout, class B, class T = float>
class FeatureNetwork {
   public:
    using Backend = B;
    using Element = T;
    using Images = FeatureMap<B, 3, T>;
    using Map = FeatureMap<B, dyn, T>;

    static constexpr PublishedWeights published = Layout::published;
    static constexpr auto channels = Layout::channels;

    FeatureNetwork() { freeze(*this); }

    /// Images [batch, 3, h, w] → one map [batch, channels[i], hᵢ, wᵢ] per tap.
    [[nodiscard]] std::vector<Map> operator()(const Images& images) const {
        std::vector<Map> out;
        static_cast<void>(features_(images, [&](std::size_t layer, const auto& y) {
            if (std::ranges::find(Layout::taps, layer) != Layout::taps.end()) {
                out.emplace_back(y);
            }
        }));
        return out;
    }

    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("features", self.features_);
    }

   private:
    typename Layout::template Features<B, T> features_;
};

}  // namespace flowfar
