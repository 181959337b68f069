#pragma once

// Training of the feature classifier: random shifts, cross entropy, AdamW.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "flowfar/core/philox.hpp"
#include "flowfar/io/data/shuffle.hpp"
#include "flowfar/optim/trainer.hpp"

#include "../../examples/programs/common/measures/feature_classifier.hpp"

namespace flowfar::program {

/// Moves one image, planes [3, side, side], down and to the right by (rows, columns), either sign; what comes in at an
/// edge mirrors the pixels beside it.
[[nodiscard]] inline std::vector<float> shifted(std::span<const float> planes, Index side, Index rows, Index columns) {
    const auto source = [side](Index at) {
        const Index inside = at < 0 ? -at : at;
        return inside < side ? inside : 2 * (side - 1) - inside;
    };
    std::vector<float> out;
    out.reserve(planes.size());
    for (Index plane = 0; plane < 3; ++plane) {
        for (Index y = 0; y < side; ++y) {
            for (Index x = 0; x < side; ++x) {
                out.push_back(
                    planes[static_cast<std::size_t>((plane * side + source(y - rows)) * side + source(x - columns))]);
            }
        }
    }
    return out;
}

struct ClassifierTrainOptions {
    /// Weight decay acts on matrices and kernels only.
    AdamOptions adam{.learning_rate = 2e-3, .beta2 = 0.99, .weight_decay = 0.05};
    RateSchedule rate;
    double clip = 1.0;  ///< largest gradient norm; 0 switches clipping off
    Index shift = 4;    ///< largest random shift in pixels, in each direction
    std::uint64_t seed = 0;
};

struct ClassifierTrainReport {
    double loss = 0;      ///< cross entropy in nats
    double accuracy = 0;  ///< on the shifted images of this step, before it
};

/// Trains the classifier `Network` on backend B. Every random draw is a function of (seed, step).
template <class B, template <class> class Network = FeatureClassifier>
class ClassifierTrainer : public Trainer<Network<Autodiff<B>>, Network<B>> {
   public:
    using Base = Trainer<Network<Autodiff<B>>, Network<B>>;
    using typename Base::Model;

    explicit ClassifierTrainer(ClassifierTrainOptions options)
        : Base([&](auto& model) { model.initialize(options.seed); }), options_(options) {
        require(options.shift >= 0 && options.shift < Model::side, "ClassifierTrainer: expected a shift of 0..",
                Model::side - 1, " pixels, found ", options.shift);
        std::vector<ParameterRef<Autodiff<B>>> decayed;
        std::vector<ParameterRef<Autodiff<B>>> others;
        for (const auto& p : this->trained()) {
            (p.extents().rank() > 1 ? decayed : others).push_back(p);
        }
        AdamOptions without = options.adam;
        without.weight_decay = 0.0;
        this->adam().add_group(std::move(decayed), options.adam);
        this->adam().add_group(std::move(others), without);
    }

    /// One optimizer step on planes [batch, 3, 32, 32] in [-1, 1] with labels 0..9.
    ClassifierTrainReport step(std::span<const float> images, std::span<const Index> labels) {
        const auto batch = static_cast<Index>(labels.size());
        const auto tracked = [](auto tensor) { return Autodiff<B>::constant(tensor.handle()); };
        using Plain = Network<B>;
        const std::vector<float> moved = move(images, labels.size());
        const typename Model::Images x(tracked(Plain::Images::from_host(moved, {batch, 3, Model::side, Model::side})));
        const typename Model::Logits wanted(
            tracked(Plain::Logits::from_host(one_hot(labels), {batch, Model::classes})));
        const auto logits = this->model()(x);
        const auto loss = sum(log_softmax(logits) * wanted) * (-1.0 / static_cast<double>(batch));
        backward(loss);
        typename Base::Numbers numbers;
        numbers.add(loss.handle().value);
        this->optimize(options_.rate, options_.clip, numbers);
        numbers.fetch();
        return {numbers.values()[0], agreement(predictions(logits.to_host()), labels)};
    }

   private:
    [[nodiscard]] std::vector<float> move(std::span<const float> images, std::size_t count) const {
        const std::size_t size = images.size() / count;
        const std::uint64_t seed = fold(fold(options_.seed, "shift"), static_cast<std::uint64_t>(this->step_count()));
        const auto draw = [&](std::uint64_t number) {
            return static_cast<Index>(io::pick_below(fold(seed, number), 2 * options_.shift + 1)) - options_.shift;
        };
        std::vector<float> out;
        out.reserve(images.size());
        for (std::size_t i = 0; i < count; ++i) {
            const auto one = shifted(images.subspan(i * size, size), Model::side, draw(2 * i), draw(2 * i + 1));
            out.insert(out.end(), one.begin(), one.end());
        }
        return out;
    }

    ClassifierTrainOptions options_;
};

}  // namespace flowfar::program
