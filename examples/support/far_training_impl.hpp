#pragma once

// Defines make_far_training<C>(); included only by the units that examples/CMakeLists.txt generates per configuration.

#include "far_training.hpp"
#include "training_impl.hpp"

namespace flowfar::program {

template <class C>
class CpuFarTraining final : public TrainingWith<AnyFarTraining, FarTrainer<C, Cpu>> {
   public:
    using Base = TrainingWith<AnyFarTraining, FarTrainer<C, Cpu>>;
    using Latents = typename FarTrainer<C, Cpu>::Latents;

    explicit CpuFarTraining(const FarTrainingSettings& settings)
        : Base(settings.options, parameters_from(settings.initial_model, settings.options.seed)) {}

    FarTrainReport step(const std::vector<float>& latents, const std::vector<Index>& labels) override {
        const auto batch = static_cast<Index>(labels.size());
        return this->trainer_.step(Latents::from_host(latents, {batch, C::channels, C::side, C::side}), labels);
    }
    void lend_to(AnyFar& model) override { Base::share_average(model.parameters()); }
};

template <class C>
std::unique_ptr<AnyFarTraining> make_far_training(const FarTrainingSettings& settings) {
    return std::make_unique<CpuFarTraining<C>>(settings);
}

}  // namespace flowfar::program
