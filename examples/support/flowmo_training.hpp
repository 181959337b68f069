#pragma once

// FlowMo training behind one run-time interface; the twin of flowmo_model.hpp.

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/flowmo/train.hpp"
#include "flowfar/io/file.hpp"

#include "flowmo_model.hpp"

namespace flowfar::program {

/// The perceptual terms that programs know; examples/CMakeLists.txt lists them, too.
using flowfar::NoPerceptualLoss;
using GradientLoss = MultiScaleGradientLoss<>;

struct FlowMoTrainingSettings {
    FlowMoTrainOptions options = {};
    double gradient_weight = 0;   // of GradientLoss; 0: no perceptual term
    io::Path initial_model = {};  // empty: random parameters from the options' seed
};

/// A training run whose configuration is chosen at run time.
class AnyFlowMoTraining {
   public:
    AnyFlowMoTraining() = default;
    AnyFlowMoTraining(const AnyFlowMoTraining&) = delete;
    AnyFlowMoTraining& operator=(const AnyFlowMoTraining&) = delete;
    virtual ~AnyFlowMoTraining() = default;

    /// One optimiser step on planes [batch, 3, height, width] in [-1, 1].
    virtual FlowMoTrainReport step(const std::vector<float>& images) = 0;
    [[nodiscard]] virtual std::int64_t step_count() const = 0;
    /// Writes the training state atomically.
    virtual void save(const io::Path& path, std::map<std::string, std::string> facts) = 0;
    /// Restores the training state, except what the facts say beyond "step".
    virtual void load(const io::Path& path) = 0;
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
        training = settings.gradient_weight > 0 ? make_flowmo_training<C, GradientLoss>(settings)
                                                : make_flowmo_training<C, NoPerceptualLoss>(settings);
    });
    return training;
}

}  // namespace flowfar::program
