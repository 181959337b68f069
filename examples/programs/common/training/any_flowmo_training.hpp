#pragma once

// FlowMo training behind one run-time interface; the twin of any_flowmo.hpp.

#include <functional>
#include <memory>
#include <vector>

#include "flowfar/flowmo/train.hpp"
#include "flowfar/io/bytes/file.hpp"

#include "common/models/any_flowmo.hpp"
#include "common/training/perceptual.hpp"
#include "common/training/training.hpp"

namespace flowfar::program {

struct FlowMoTrainingSettings {
    FlowMoTrainOptions options = {};
    PerceptualChoice perceptual = {};
    io::Path initial_model = {};  // empty: random parameters from the options' seed
};

/// A training run whose configuration is chosen at run time.
class AnyFlowMoTraining : public AnyTraining {
   public:
    /// One optimizer step on planes [batch, 3, height, width] in [-1, 1]; the result waits for its report.
    [[nodiscard]] virtual std::function<FlowMoTrainReport()> queue_step(const std::vector<float>& images) = 0;
    FlowMoTrainReport step(const std::vector<float>& images) { return queue_step(images)(); }
    /// Gives a model of the same configuration the weights; they are shared, so it follows the training. Without an
    /// average, both are the raw ones.
    virtual void lend_to(AnyFlowMo& model, Weights which = Weights::averaged) = 0;
};

/// Training without a perceptual term or with the one that the settings choose. Defined once per configuration, backend
/// and kind of term, see flowmo_training_impl.hpp.
template <class C, class B, bool WithPerceptual>
[[nodiscard]] std::unique_ptr<AnyFlowMoTraining> make_flowmo_training(const FlowMoTrainingSettings& settings);

}  // namespace flowfar::program
