#pragma once

// Small networks that classify 32 x 32 images. What they compute on the way is a feature space in which images are
// compared; the networks are this project's own, so distances in it compare with nothing published.

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/core/rearrange.hpp"
#include "flowfar/far/vae/blocks.hpp"
#include "flowfar/io/tensors/safetensors.hpp"
#include "flowfar/nn/conv.hpp"
#include "flowfar/nn/linear.hpp"

namespace flowfar::program {

namespace detail {

/// The mean over pixels of a map [batch, Width, height, width]: [batch, Width].
template <Index Width, AnyTensor Map>
[[nodiscard]] auto pixel_mean(const Map& map) {
    const Index pixels = map.extent(2) * map.extent(3);
    const auto flat = reshape<dyn, Width, dyn>(map, map.extent(0), pixels);
    return reshape<dyn, Width>(mean<2>(flat), map.extent(0));
}

}  // namespace detail

/// What all classifiers have in common. A derived one gives `maps`: [batch, channels, h, w] after each of its stages.
template <class B>
struct ClassifierBase {
    using Backend = B;
    using Map = FeatureMap<B, dyn>;
    using AnyImages = FeatureMap<B, 3>;  // [batch, 3, h, w] in [-1, 1], h and w divisible by 8
    static constexpr Index side = 32;
    static constexpr Index classes = 10;
    using Images = Tensor<B, Shape<dyn, 3, side, side>>;  // [batch, 3, 32, 32] in [-1, 1]
    using Logits = Tensor<B, Shape<dyn, classes>>;        // [batch, 10]
};

/// Three stages of one residual block each at 16 x 16, 8 x 8 and 4 x 4 pixels, then the mean over pixels: 128 features
/// and a linear layer on them.
template <class B>
struct FeatureClassifier : ClassifierBase<B> {
    using Base = ClassifierBase<B>;
    static constexpr std::string_view name = "residual";
    static constexpr Index feature_width = 128;
    using Features = Tensor<B, Shape<dyn, feature_width>>;  // [batch, 128]

    Conv2d<B, 3, 32, 3> stem;
    Downsample<B, 32> down1;
    ResnetBlock<B, 32, 32, 8> block1;
    Downsample<B, 32> down2;
    ResnetBlock<B, 32, 64, 8> block2;
    Downsample<B, 64> down3;
    ResnetBlock<B, 64, feature_width, 8> block3;
    GroupNorm<B, feature_width, 8> norm;
    Linear<B, feature_width, Base::classes> head;

    [[nodiscard]] std::vector<typename Base::Map> maps(const typename Base::AnyImages& images) const {
        const auto at16 = block1(down1(silu(stem(images))));
        const auto at8 = block2(down2(at16));
        const auto at4 = silu(norm(block3(down3(at8))));
        return {typename Base::Map(at16), typename Base::Map(at8), typename Base::Map(at4)};
    }
    [[nodiscard]] Features features(const typename Base::AnyImages& images) const {
        return detail::pixel_mean<feature_width>(maps(images).back());
    }
    [[nodiscard]] typename Base::Logits operator()(const typename Base::AnyImages& images) const {
        return head(features(images));
    }

    void initialize(std::uint64_t seed) { flowfar::detail::initialize_members(*this, seed); }
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

/// A plain chain of convolutions with steps of 2, the first two with 5 x 5 pixels, without shortcuts: 96 features at
/// 4 x 4 pixels. As unlike the residual one as a network of this size can be: to judge what was trained with that.
template <class B>
struct PlainClassifier : ClassifierBase<B> {
    using Base = ClassifierBase<B>;
    static constexpr std::string_view name = "plain";
    static constexpr Index feature_width = 96;
    using Features = Tensor<B, Shape<dyn, feature_width>>;  // [batch, 96]

    StridedConv2d<B, 3, 48, 5, 2, 2> conv1;
    GroupNorm<B, 48, 4> norm1;
    StridedConv2d<B, 48, 72, 5, 2, 2> conv2;
    GroupNorm<B, 72, 4> norm2;
    Conv2d<B, 72, feature_width, 3> conv3;
    GroupNorm<B, feature_width, 4> norm3;
    StridedConv2d<B, feature_width, feature_width, 3, 2, 1> conv4;
    GroupNorm<B, feature_width, 4> norm4;
    Linear<B, feature_width, Base::classes> head;

    [[nodiscard]] std::vector<typename Base::Map> maps(const typename Base::AnyImages& images) const {
        const auto at16 = gelu_tanh(norm1(conv1(images)));
        const auto at8 = gelu_tanh(norm2(conv2(at16)));
        const auto at4 = gelu_tanh(norm4(conv4(gelu_tanh(norm3(conv3(at8))))));
        return {typename Base::Map(at16), typename Base::Map(at8), typename Base::Map(at4)};
    }
    [[nodiscard]] Features features(const typename Base::AnyImages& images) const {
        return detail::pixel_mean<feature_width>(maps(images).back());
    }
    [[nodiscard]] typename Base::Logits operator()(const typename Base::AnyImages& images) const {
        return head(features(images));
    }

    void initialize(std::uint64_t seed) { flowfar::detail::initialize_members(*this, seed); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("conv1", self.conv1);
        v("norm1", self.norm1);
        v("conv2", self.conv2);
        v("norm2", self.norm2);
        v("conv3", self.conv3);
        v("norm3", self.norm3);
        v("conv4", self.conv4);
        v("norm4", self.norm4);
        v("head", self.head);
    }
};

/// Calls `action.operator()<Network>()` with the classifier of this name, "residual" or "plain", on backend B.
template <class B, class Action>
void visit_classifier(std::string_view name, Action&& action) {
    if (name == PlainClassifier<B>::name) {
        action.template operator()<PlainClassifier<B>>();
        return;
    }
    require(name == FeatureClassifier<B>::name, "unknown classifier \"", name, "\"; known are residual and plain");
    action.template operator()<FeatureClassifier<B>>();
}

/// Which classifier a file of train_classifier holds. Files without a name are of the time when there was one.
[[nodiscard]] inline std::string classifier_name(const io::Path& path) {
    const auto metadata = io::SafetensorsFile(path).metadata();
    const auto found = metadata.find("network");
    return found == metadata.end() ? std::string(FeatureClassifier<Cpu>::name) : found->second;
}

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
