#pragma once

// FAR training behind one run-time interface; the twin of any_flowmo_training.hpp.

#include <functional>
#include <memory>
#include <vector>

#include "common/models/any_far.hpp"
#include "common/training/training.hpp"

namespace flowfar::program {

struct FarTrainingSettings {
    FarTrainOptions options = {};
    io::Path initial_model = {};  // empty: random parameters from the options' seed
};

/// A training run whose configuration is chosen at run time.
class AnyFarTraining : public AnyTraining {
   public:
    /// One optimizer step on latents [batch, channels, height, width] with one label each; the result waits for its
    /// report.
    [[nodiscard]] virtual std::function<FarTrainReport()> queue_step(const std::vector<float>& latents,
                                                                     const std::vector<Index>& labels) = 0;
    FarTrainReport step(const std::vector<float>& latents, const std::vector<Index>& labels) {
        return queue_step(latents, labels)();
    }
    /// Gives a model of the same configuration the weights; they are shared, so it follows the training. Without an
    /// average, both are the raw ones.
    virtual void lend_to(AnyFar& model, Weights which = Weights::averaged) = 0;
};

/// Defined once per configuration, masking and backend, see far_training_impl.hpp.
template <class C, class B>
[[nodiscard]] std::unique_ptr<AnyFarTraining> make_far_training(const FarTrainingSettings& settings);

}  // namespace flowfar::program
