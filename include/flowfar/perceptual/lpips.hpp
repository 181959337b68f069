#pragma once

#include <array>
#include <vector>

#include "flowfar/perceptual/alexnet.hpp"
#include "flowfar/perceptual/input.hpp"
#include "flowfar/perceptual/squeezenet.hpp"
#include "flowfar/perceptual/vgg16.hpp"

namespace flowfar {

/// The learned weights of LPIPS, one per channel of each tapped map, frozen; `Network` is their backbone.
template <class Network>
class LpipsWeights {
   public:
    using Backend = typename Network::Backend;
    using Weights = Tensor<Backend, Shape<1, dyn, 1, 1>, typename Network::Element>;

    static constexpr PublishedWeights published{
        .where = "the lpips package of PyPI: lpips/weights/v0.1/vgg.pth, alex.pth and squeeze.pth"};

    LpipsWeights() {
        for (const Index channels : Network::channels) {
            weights_.push_back(Weights::zeros({1, channels, 1, 1}));
        }
    }
    [[nodiscard]] const Weights& operator[](std::size_t tap) const { return weights_[tap]; }

    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        for (std::size_t i = 0; i < self.weights_.size(); ++i) {
            v(text("lin", i, ".model.1.weight"), self.weights_[i]);
        }
    }

   private:
    std::vector<Weights> weights_;
};

/// LPIPS v0.1 (Zhang et al. 2018, arXiv 1801.03924): weighted squared differences of unit-length features. `Network` is
/// Vgg16<B>, AlexNet<B> or SqueezeNet<B>; `load<Lpips<Vgg16<B>>>(network, weights)` reads the published files; the
/// parameters take no gradients. As FlowMo's perceptual policy it is stage 1A's, with VGG and factor 0.1.
///
///     const auto lpips = load<Lpips<Vgg16<Cpu>>>("vgg16-397923af.pth", "vgg.pth");
///     const auto distances = lpips.distances(x, y);   // [n]
template <class N>
struct Lpips {
    using Network = N;
    using Backend = typename Network::Backend;
    using Element = typename Network::Element;
    using Images = typename Network::Images;
    using Map = typename Network::Map;
    using Distances = Tensor<Backend, Shape<dyn>, typename Network::Element>;

    double weight = 0.1;  ///< in FlowMo's loss
    Network network;
    LpipsWeights<Network> weights;

    /// The distance of each pair of images [batch, 3, h, w], all in [−1, 1]: [batch].
    [[nodiscard]] Distances distances(const Images& x, const Images& y) const {
        check_signed_unit(x, "LPIPS");
        check_signed_unit(y, "LPIPS");
        return unchecked(x, y);
    }
    /// The mean distance of a batch. Predictions in training may leave [−1, 1]; x may not.
    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x, const X& prediction) const {
        return loss_of_signed_unit(x, mean(unchecked(x, prediction)), "LPIPS");
    }

    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("net", self.network);
        LpipsWeights<Network>::visit(self.weights, v);
    }

   private:
    [[nodiscard]] Distances unchecked(const Images& x, const Images& y) const {
        require(x.extents() == y.extents(), "LPIPS: images of ", x.extents(), " and ", y.extents());
        const std::vector<Map> xs = network(scaled(x));
        const std::vector<Map> ys = network(scaled(y));
        Distances total;
        for (std::size_t i = 0; i < xs.size(); ++i) {
            const Map squares = square(unit(xs[i]) - unit(ys[i]));
            const auto sums = matmul(spatial_mean(squares), reshape<dyn, 1>(weights[i], xs[i].extent(1)));
            const Distances part = reshape<dyn>(sums, x.extent(0));
            total = i == 0 ? part : Distances(total + part);
        }
        return total;
    }
    [[nodiscard]] static Images scaled(const Images& x) {
        return standardize_channels(x, {-0.030, -0.088, -0.188}, {0.458, 0.448, 0.450});
    }
    /// Features divided by their length over the channels; where all are zero, zeros with gradient zero.
    [[nodiscard]] static Map unit(const Map& x) { return x / (sqrt(clamp(sum<1>(square(x)), 1e-36, 1e36)) + 1e-10); }
};

}  // namespace flowfar
