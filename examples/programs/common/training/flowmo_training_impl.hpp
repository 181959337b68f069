#pragma once

// Defines make_flowmo_training<C, B, WithPerceptual>(); included only by the units that examples/CMakeLists.txt
// generates per configuration, backend and kind of perceptual term.

#include <memory>
#include <utility>
#include <vector>

#include "common/training/any_flowmo_training.hpp"
#include "common/training/training_impl.hpp"

namespace flowfar::program {

template <class C, class B, class Perceptual>
class FlowMoTrainingOn final : public TrainingWith<AnyFlowMoTraining, FlowMoTrainer<C, B, Perceptual>> {
   public:
    using Base = TrainingWith<AnyFlowMoTraining, FlowMoTrainer<C, B, Perceptual>>;
    using Images = typename FlowMoTrainer<C, B, Perceptual>::Images;

    FlowMoTrainingOn(const FlowMoTrainingSettings& settings, Perceptual perceptual)
        : Base(settings.options, parameters_from(settings.initial_model, settings.options.seed),
               std::move(perceptual)) {}

    std::function<FlowMoTrainReport()> queue_step(const std::vector<float>& images) override {
        constexpr Index size = 3 * C::image_height * C::image_width;
        const auto batch = static_cast<Index>(images.size()) / size;
        const auto planes = Images::from_host(images, {batch, 3, C::image_height, C::image_width});
        return [pending = this->trainer_.queue_step(planes)]() mutable { return pending.get(); };
    }
    void lend_to(AnyFlowMo& model, Weights which) override { Base::share(model.parameters(), which); }
};

template <class C, class B, bool WithPerceptual>
std::unique_ptr<AnyFlowMoTraining> make_flowmo_training(const FlowMoTrainingSettings& settings) {
    if constexpr (WithPerceptual) {
        return std::make_unique<FlowMoTrainingOn<C, B, ChosenPerceptual<B>>>(settings,
                                                                             make_perceptual<B>(settings.perceptual));
    } else {
        return std::make_unique<FlowMoTrainingOn<C, B, NoPerceptualLoss>>(settings, NoPerceptualLoss{});
    }
}

}  // namespace flowfar::program
