#pragma once

// FlowMo training behind one run-time interface; the twin of flowmo_model.hpp.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/flowmo/train.hpp"
#include "flowfar/io/file.hpp"

#include "flowmo_model.hpp"
#include "perceptual.hpp"
#include "training.hpp"

namespace flowfar::program {

/// The perceptual policies that training is compiled with; examples/CMakeLists.txt lists them, too.
using flowfar::NoPerceptualLoss;

struct FlowMoTrainingSettings {
    FlowMoTrainOptions options = {};
    ChosenPerceptual perceptual = {};  // without a loss: no perceptual term
    io::Path initial_model = {};       // empty: random parameters from the options' seed
};

/// A training run whose configuration is chosen at run time.
class AnyFlowMoTraining : public AnyTraining {
   public:
    /// One optimiser step on planes [batch, 3, height, width] in [-1, 1].
    virtual FlowMoTrainReport step(const std::vector<float>& images) = 0;
    /// Gives a model of the same configuration the averaged weights; they are shared, so it follows the training.
    virtual void lend_to(AnyFlowMo& model) = 0;
};

/// Defined once per configuration and perceptual term, see flowmo_training_impl.hpp.
template <class C, class Perceptual>
[[nodiscard]] std::unique_ptr<AnyFlowMoTraining> make_flowmo_training(const FlowMoTrainingSettings& settings);

[[nodiscard]] inline std::unique_ptr<AnyFlowMoTraining> make_flowmo_training(std::string_view name,
                                                                             const FlowMoTrainingSettings& settings) {
    std::unique_ptr<AnyFlowMoTraining> training;
    FlowMoConfigs::visit(name, [&]<class C>() {
        training = settings.perceptual.loss ? make_flowmo_training<C, ChosenPerceptual>(settings)
                                            : make_flowmo_training<C, NoPerceptualLoss>(settings);
    });
    return training;
}

}  // namespace flowfar::program
