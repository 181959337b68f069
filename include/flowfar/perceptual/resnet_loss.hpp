#pragma once

#include "flowfar/core/images/resize.hpp"
#include "flowfar/perceptual/input.hpp"
#include "flowfar/perceptual/resnet50.hpp"

namespace flowfar {

/// FlowMo's loss for stage 1B (arXiv 2503.11056, section 3.2): the mean squared difference of two images' ResNet-50
/// logits. `io::load_published` fills `network`, whose parameters take no gradients.
template <class B, class T = float>
struct ResNetLogitLoss {
    using Backend = B;
    using Network = ResNet50<B, T>;
    using Images = typename Network::Images;

    double weight = 0.01;  ///< in FlowMo's loss
    Network network;

    /// Images [batch, 3, h, w] in [−1, 1]; a sample may leave the range, x may not.
    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x, const X& sample) const {
        require(x.extents() == sample.extents(), "ResNetLogitLoss: images of ", x.extents(), " and ", sample.extents());
        const auto loss = mean(square(network.logits(prepared(x)) - network.logits(prepared(sample))));
        return loss_of_signed_unit(x, loss, "ResNetLogitLoss");
    }
    /// What the network sees: 224×224 pixels, bilinear and antialiased, standardized as for ImageNet.
    [[nodiscard]] static Images prepared(const Images& x) {
        const Images small = resize(x, 224, 224, Resize::bilinear_antialiased);
        return standardize_channels(0.5 * small + 0.5, {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225});
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        Network::visit(self.network, v);
    }
};

}  // namespace flowfar
