#pragma once

// The network of 03_train: two convolutions, the mean over pixels, and a linear layer.

#include <flowfar/autodiff.hpp>
#include <flowfar/io.hpp>
#include <flowfar/nn.hpp>
#include <vector>

template <class B>
struct Network {
    using Backend = B;  // a model names its backend and lists its parameters in `visit`
    using Images = flowfar::Tensor<B, flowfar::Shape<flowfar::dyn, 3, 32, 32>>;
    using Scores = flowfar::Tensor<B, flowfar::Shape<flowfar::dyn, 10>>;

    flowfar::StridedConv2d<B, 3, 16, 3, 2, 1> first;
    flowfar::StridedConv2d<B, 16, 32, 3, 2, 1> second;
    flowfar::Linear<B, 32, 10> head;

    /// The scores of ten classes.
    Scores operator()(const Images& images) const {
        return head(flowfar::spatial_mean(flowfar::relu(second(flowfar::relu(first(images))))));
    }
    void initialize(std::uint64_t seed) {
        first.initialize(flowfar::fold(seed, 1U));
        second.initialize(flowfar::fold(seed, 2U));
        head.initialize(flowfar::fold(seed, 3U));
    }
    template <class Self, class Visitor>
    static void visit(Self& self, Visitor&& v) {
        v("first", self.first);
        v("second", self.second);
        v("head", self.head);
    }
};

/// The share of held-back pictures whose class has the largest score.
template <class Device>
double accuracy(const Network<Device>& network, const flowfar::io::ImageDataset& data) {
    flowfar::io::ImageLoader loader(data, {.batch = data.size(), .size = 32, .shuffle = false});
    const auto [images, labels, index] = loader.next<typename Network<Device>::Images>();
    const auto guesses = flowfar::argmax(network(images)).to_host();
    double right = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        right += guesses[i] == labels[i] ? 1 : 0;
    }
    return right / static_cast<double>(labels.size());
}
