#pragma once

#include <vector>

#include "flowfar/nn/linear.hpp"
#include "flowfar/perceptual/inception_blocks.hpp"
#include "flowfar/perceptual/published.hpp"

namespace flowfar {

/// Inception-v3 as the Fréchet Inception distance uses it (Szegedy et al. 2016; Heusel et al. 2017): the network of
/// TensorFlow's inception-2015-12-05 with torchvision's names, frozen. It differs from torchvision's: means of windows
/// leave the padding out, the last block takes a maximum, the head has 1008 classes. Batch norms are folded when the
/// weights are loaded. Parameters are unset until a loader or `initialize` fills them.
///
///     const auto network = load<FidInception<Cpu>>("pt_inception-2015-12-05-6726825d.pth");
///     const auto features = network(images).features;   // [n, 3, 299, 299] → [n, 2048]
template <class B, class T = float>
class FidInception {
   public:
    using Backend = B;
    using Element = T;
    using Images = FeatureMap<B, 3, T>;
    using Features = Tensor<B, Shape<dyn, 2048>, T>;
    using Spatial = Tensor<B, Shape<dyn, dyn>, T>;
    using Logits = Tensor<B, Shape<dyn, 1008>, T>;

    static constexpr Index image_size = 299;      ///< what the published statistics were computed with
    static constexpr Index spatial_channels = 7;  ///< sFID's choice (Nash et al. 2021, arXiv 2103.03841)
    static constexpr PublishedWeights published{
        .where =
            "pt_inception-2015-12-05-6726825d.pth of "
            "https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights (torchvision's inception_v3 is another "
            "network)",
        .skipped = "AuxLogits.",
        .norm_epsilon = 1e-3};

    struct Outputs {
        Features features;  ///< [batch, 2048]: FID, precision and recall
        Spatial spatial;    ///< [batch, h'·w'·7], channel fastest: sFID; 17·17·7 = 2023 for 299×299 pixels
    };

    FidInception() { freeze(*this); }

    /// Images [batch, 3, h, w] in [−1, 1], of at least 75×75 pixels.
    [[nodiscard]] Outputs operator()(const Images& images) const {
        require(images.extent(2) >= 75 && images.extent(3) >= 75, "FidInception: images of ", images.extent(2), "×",
                images.extent(3), " pixels; expected at least 75×75");
        const auto stem = detail::halved(conv2b_(conv2a_(conv1a_(images))));
        const auto fine = mixed5d_(mixed5c_(mixed5b_(detail::halved(conv4a_(conv3b_(stem))))));
        const auto middle = mixed6c_(mixed6b_(mixed6a_(fine)));
        const auto coarse = mixed7a_(mixed6e_(mixed6d_(middle)));
        return {spatial_mean(mixed7c_(mixed7b_(coarse))), sample(mixed6d_.branch1x1(middle))};
    }
    /// The head of features [batch, 2048] → [batch, 1008].
    [[nodiscard]] Logits logits(const Features& features) const { return fc_(features); }
    /// The head without its bias: what the Inception Score's softmax takes, by TensorFlow's convention.
    [[nodiscard]] Logits logits_without_bias(const Features& features) const {
        return matmul(features, transpose(fc_.weight));
    }

    void initialize(std::uint64_t seed) { detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("Conv2d_1a_3x3", self.conv1a_);
        v("Conv2d_2a_3x3", self.conv2a_);
        v("Conv2d_2b_3x3", self.conv2b_);
        v("Conv2d_3b_1x1", self.conv3b_);
        v("Conv2d_4a_3x3", self.conv4a_);
        v("Mixed_5b", self.mixed5b_);
        v("Mixed_5c", self.mixed5c_);
        v("Mixed_5d", self.mixed5d_);
        v("Mixed_6a", self.mixed6a_);
        v("Mixed_6b", self.mixed6b_);
        v("Mixed_6c", self.mixed6c_);
        v("Mixed_6d", self.mixed6d_);
        v("Mixed_6e", self.mixed6e_);
        v("Mixed_7a", self.mixed7a_);
        v("Mixed_7b", self.mixed7b_);
        v("Mixed_7c", self.mixed7c_);
        v("fc", self.fc_);
    }

   private:
    [[nodiscard]] static Spatial sample(const FeatureMap<B, 192, T>& x) {
        const auto last = permute<0, 2, 3, 1>(slice<1, 0, spatial_channels>(x));
        return reshape<dyn, dyn>(last, x.extent(0), x.extent(2) * x.extent(3) * spatial_channels);
    }

    InceptionConv<B, 3, 32, 3, 3, T> conv1a_{ConvOptions::square(2, 0)};
    InceptionConv<B, 32, 32, 3, 3, T> conv2a_{ConvOptions::square(1, 0)};
    InceptionConv<B, 32, 64, 3, 3, T> conv2b_;
    InceptionConv<B, 64, 80, 1, 1, T> conv3b_;
    InceptionConv<B, 80, 192, 3, 3, T> conv4a_{ConvOptions::square(1, 0)};
    InceptionA<B, 192, 32, T> mixed5b_;
    InceptionA<B, 256, 64, T> mixed5c_;
    InceptionA<B, 288, 64, T> mixed5d_;
    InceptionB<B, 288, T> mixed6a_;
    InceptionC<B, 768, 128, T> mixed6b_;
    InceptionC<B, 768, 160, T> mixed6c_;
    InceptionC<B, 768, 160, T> mixed6d_;
    InceptionC<B, 768, 192, T> mixed6e_;
    InceptionD<B, 768, T> mixed7a_;
    InceptionE<B, 1280, PoolKind::mean_inside, T> mixed7b_;
    InceptionE<B, 2048, PoolKind::max, T> mixed7c_;
    Linear<B, 2048, 1008, T> fc_;
};

}  // namespace flowfar
