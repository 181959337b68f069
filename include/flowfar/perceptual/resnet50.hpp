#pragma once

#include <type_traits>
#include <vector>

#include "flowfar/core/rearrange.hpp"
#include "flowfar/nn/conv.hpp"
#include "flowfar/nn/linear.hpp"
#include "flowfar/nn/sequential.hpp"
#include "flowfar/perceptual/published.hpp"

namespace flowfar {

/// ResNet's block: 1×1, 3×3 and 1×1 convolutions to 4·Width channels, added to the input, which a 1×1 convolution
/// adapts where size or channels change. The step is in the 3×3 convolution, as in torchvision ("v1.5"). Batch norms
/// are folded into the convolutions.
template <class B, Index In, Index Width, Index Stride, class T = float>
struct Bottleneck {
    using Backend = B;
    static constexpr Index out = 4 * Width;
    static constexpr bool adapts = In != out || Stride != 1;
    struct Absent {};

    Conv2d<B, In, Width, 1, T> conv1;
    Conv2d<B, Width, Width, 3, T> conv2{.options = ConvOptions::square(Stride, 1)};
    Conv2d<B, Width, out, 1, T> conv3;
    std::conditional_t<adapts, Sequential<B, StridedConv2d<B, In, out, 1, Stride, 0, T>>, Absent> downsample;

    [[nodiscard]] FeatureMap<B, out, T> operator()(const FeatureMap<B, In, T>& x) const {
        const auto y = conv3(relu(conv2(relu(conv1(x)))));
        if constexpr (adapts) {
            return relu(y + downsample(x));
        } else {
            return relu(y + x);
        }
    }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("conv1", self.conv1);
        v("conv2", self.conv2);
        v("conv3", self.conv3);
        if constexpr (adapts) {
            v("downsample", self.downsample);
        }
    }
};

/// Bottlenecks at one resolution; the first may change it.
template <class B, Index In, Index Width, Index Stride, Index Count, class T = float>
struct BottleneckStage {
    using Backend = B;
    static constexpr Index out = 4 * Width;

    Bottleneck<B, In, Width, Stride, T> first;
    std::vector<Bottleneck<B, out, Width, 1, T>> rest = make_blocks<Bottleneck<B, out, Width, 1, T>>(Count - 1);

    [[nodiscard]] FeatureMap<B, out, T> operator()(const FeatureMap<B, In, T>& x) const {
        FeatureMap<B, out, T> y = first(x);
        for (const auto& block : rest) {
            y = block(y);
        }
        return y;
    }
    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("0", self.first);
        for (std::size_t i = 0; i < self.rest.size(); ++i) {
            v(text(i + 1), self.rest[i]);
        }
    }
};

/// ResNet-50 (He et al. 2016), frozen, with torchvision's names; batch norms are folded when the weights are loaded.
/// Parameters are unset until a loader or `initialize` fills them.
///
///     const auto network = load<ResNet50<Cpu>>("resnet50-11ad3fa6.pth");
///     const auto logits = network.logits(images);   // [n, 3, 224, 224] → [n, 1000]
template <class B, class T = float>
class ResNet50 {
   public:
    using Backend = B;
    using Element = T;
    using Images = FeatureMap<B, 3, T>;
    using Features = Tensor<B, Shape<dyn, 2048>, T>;
    using Logits = Tensor<B, Shape<dyn, 1000>, T>;

    static constexpr PublishedWeights published{
        .where =
            "torchvision's ResNet-50: https://download.pytorch.org/models/resnet50-11ad3fa6.pth (V2) or "
            "resnet50-0676ba61.pth (V1)",
        .norm_epsilon = 1e-5};

    ResNet50() { freeze(*this); }

    /// Means of the last maps: images [batch, 3, h, w] of any size, standardized by the caller → [batch, 2048].
    [[nodiscard]] Features features(const Images& images) const {
        const auto stem = pool2d(relu(conv1_(images)), PoolOptions::square(PoolKind::max, 3, 2, 1));
        const auto y = layer4_(layer3_(layer2_(layer1_(stem))));
        return spatial_mean(y);
    }
    [[nodiscard]] Logits logits(const Images& images) const { return fc_(features(images)); }

    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("conv1", self.conv1_);
        v("layer1", self.layer1_);
        v("layer2", self.layer2_);
        v("layer3", self.layer3_);
        v("layer4", self.layer4_);
        v("fc", self.fc_);
    }

   private:
    Conv2d<B, 3, 64, 7, T> conv1_{.options = ConvOptions::square(2, 3)};
    BottleneckStage<B, 64, 64, 1, 3, T> layer1_;
    BottleneckStage<B, 256, 128, 2, 4, T> layer2_;
    BottleneckStage<B, 512, 256, 2, 6, T> layer3_;
    BottleneckStage<B, 1024, 512, 2, 3, T> layer4_;
    Linear<B, 2048, 1000, T> fc_;
};

}  // namespace flowfar
