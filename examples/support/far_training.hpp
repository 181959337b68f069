#pragma once

// FAR training behind one run-time interface; the twin of flowmo_training.hpp.

#include <memory>
#include <string_view>
#include <vector>

#include "far_model.hpp"
#include "training.hpp"

namespace flowfar::program {

struct FarTrainingSettings {
    FarTrainOptions options = {};
    io::Path initial_model = {};  // empty: random parameters from the options' seed
};

/// A training run whose configuration is chosen at run time.
class AnyFarTraining : public AnyTraining {
   public:
    /// One optimiser step on latents [batch, channels, side, side] with one label each.
    virtual FarTrainReport step(const std::vector<float>& latents, const std::vector<Index>& labels) = 0;
    /// Gives a model of the same configuration the averaged weights; they are shared, so it follows the training.
    virtual void lend_to(AnyFar& model) = 0;
};

/// Defined once per configuration and masking, see far_training_impl.hpp.
template <class C>
[[nodiscard]] std::unique_ptr<AnyFarTraining> make_far_training(const FarTrainingSettings& settings);

[[nodiscard]] inline std::unique_ptr<AnyFarTraining> make_far_training(std::string_view name, bool masked,
                                                                       const FarTrainingSettings& settings) {
    std::unique_ptr<AnyFarTraining> training;
    FarConfigs::visit(name, [&]<class C>() {
        training = masked ? make_far_training<Masked<C>>(settings) : make_far_training<C>(settings);
    });
    return training;
}

}  // namespace flowfar::program
