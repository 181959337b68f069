#pragma once

// Defines make_flowmo_training<C, Perceptual>(); included only by the units that examples/CMakeLists.txt generates per
// configuration and perceptual term.

#include <memory>
#include <type_traits>
#include <vector>

#include "flowmo_training.hpp"
#include "training_impl.hpp"

namespace flowfar::program {

template <class C, class Perceptual>
class CpuFlowMoTraining final : public TrainingWith<AnyFlowMoTraining, FlowMoTrainer<C, Cpu, Perceptual>> {
   public:
    using Base = TrainingWith<AnyFlowMoTraining, FlowMoTrainer<C, Cpu, Perceptual>>;
    using Images = typename FlowMoTrainer<C, Cpu, Perceptual>::Images;

    CpuFlowMoTraining(const FlowMoTrainingSettings& settings, Perceptual perceptual)
        : Base(settings.options, parameters_from(settings.initial_model, settings.options.seed), perceptual) {}

    FlowMoTrainReport step(const std::vector<float>& images) override {
        constexpr Index size = 3 * C::image_height * C::image_width;
        const auto batch = static_cast<Index>(images.size()) / size;
        return this->trainer_.step(Images::from_host(images, {batch, 3, C::image_height, C::image_width}));
    }
    void lend_to(AnyFlowMo& model) override { Base::share_average(model.parameters()); }
};

template <class C, class Perceptual>
std::unique_ptr<AnyFlowMoTraining> make_flowmo_training(const FlowMoTrainingSettings& settings) {
    if constexpr (std::is_same_v<Perceptual, NoPerceptualLoss>) {
        return std::make_unique<CpuFlowMoTraining<C, Perceptual>>(settings, Perceptual{});
    } else {
        return std::make_unique<CpuFlowMoTraining<C, Perceptual>>(settings, settings.perceptual);
    }
}

}  // namespace flowfar::program
