#pragma once

// A small residual network that classifies 32 x 32 images. What it computes before its last layer is the feature space
// in which samples are judged; it is this project's own, so distances in it compare with nothing published.

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "flowfar/core/rearrange.hpp"
#include "flowfar/far/vae_blocks.hpp"
#include "flowfar/nn/conv.hpp"
#include "flowfar/nn/linear.hpp"

namespace flowfar::program {

/// Three stages of one residual block each at 16 x 16, 8 x 8 and 4 x 4 pixels, then the mean over pixels: 128 features
/// and a linear layer on them.
template <class B>
struct FeatureClassifier {
    using Backend = B;
    static constexpr Index side = 32;
    static constexpr Index classes = 10;
    static constexpr Index feature_width = 128;
    using Images = Tensor<B, Shape<dyn, 3, side, side>>;    // [batch, 3, 32, 32] in [-1, 1]
    using Features = Tensor<B, Shape<dyn, feature_width>>;  // [batch, 128]
    using Logits = Tensor<B, Shape<dyn, classes>>;          // [batch, 10]

    Conv2d<B, 3, 32, 3> stem;
    Downsample<B, 32> down1;
    ResnetBlock<B, 32, 32, 8> block1;
    Downsample<B, 32> down2;
    ResnetBlock<B, 32, 64, 8> block2;
    Downsample<B, 64> down3;
    ResnetBlock<B, 64, feature_width, 8> block3;
    GroupNorm<B, feature_width, 8> norm;
    Linear<B, feature_width, classes> head;

    [[nodiscard]] Features features(const Images& images) const {
        const auto at16 = block1(down1(silu(stem(images))));
        const auto at4 = block3(down3(block2(down2(at16))));
        const Index pixels = at4.extent(2) * at4.extent(3);
        const auto flat =
            reshape<Shape<dyn, feature_width, dyn>>(silu(norm(at4)), {at4.extent(0), feature_width, pixels});
        return reshape<Shape<dyn, feature_width>>(mean<2>(flat), {at4.extent(0), feature_width});
    }
    [[nodiscard]] Logits operator()(const Images& images) const { return head(features(images)); }

    void initialise(std::uint64_t seed) { detail::initialise_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("stem", self.stem);
        v("down1", self.down1);
        v("block1", self.block1);
        v("down2", self.down2);
        v("block2", self.block2);
        v("down3", self.down3);
        v("block3", self.block3);
        v("norm", self.norm);
        v("head", self.head);
    }
};

/// The most likely class of each row of logits [batch, 10].
[[nodiscard]] inline std::vector<Index> predictions(std::span<const float> logits, Index classes = 10) {
    std::vector<Index> out;
    for (; !logits.empty(); logits = logits.subspan(static_cast<std::size_t>(classes))) {
        const auto row = logits.first(static_cast<std::size_t>(classes));
        out.push_back(std::ranges::max_element(row) - row.begin());
    }
    return out;
}

/// Rows [batch, classes] with a 1 at each label; throws `Error` for a label outside 0..classes - 1.
[[nodiscard]] inline std::vector<float> one_hot(std::span<const Index> labels, Index classes = 10) {
    std::vector<float> out(labels.size() * static_cast<std::size_t>(classes), 0.0F);
    for (std::size_t i = 0; i < labels.size(); ++i) {
        require(labels[i] >= 0 && labels[i] < classes, "one_hot: expected a label of 0..", classes - 1, ", found ",
                labels[i]);
        out[i * static_cast<std::size_t>(classes) + static_cast<std::size_t>(labels[i])] = 1;
    }
    return out;
}

/// Share of the entries in which both agree.
[[nodiscard]] inline double agreement(std::span<const Index> found, std::span<const Index> expected) {
    require(found.size() == expected.size() && !found.empty(), "agreement: ", found.size(), " and ", expected.size(),
            " labels");
    std::size_t equal = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        equal += found[i] == expected[i] ? 1 : 0;
    }
    return static_cast<double>(equal) / static_cast<double>(found.size());
}

}  // namespace flowfar::program
