#pragma once

// Defines make_far_training<C, B>(); included only by the units that examples/CMakeLists.txt generates per
// configuration and backend.

#include "common/training/any_far_training.hpp"
#include "common/training/training_impl.hpp"

namespace flowfar::program {

template <class C, class B>
class FarTrainingOn final : public TrainingWith<AnyFarTraining, FarTrainer<C, B>> {
   public:
    using Base = TrainingWith<AnyFarTraining, FarTrainer<C, B>>;
    using Latents = typename FarTrainer<C, B>::Latents;

    explicit FarTrainingOn(const FarTrainingSettings& settings)
        : Base(settings.options, parameters_from(settings.initial_model, settings.options.seed)) {}

    std::function<FarTrainReport()> queue_step(const std::vector<float>& latents,
                                               const std::vector<Index>& labels) override {
        const auto batch = static_cast<Index>(labels.size());
        using Config = CheckedFarConfig<C>;
        const auto images = Latents::from_host(latents, {batch, C::channels, Config::height, Config::width});
        return [pending = this->trainer_.queue_step(images, labels)]() mutable { return pending.get(); };
    }
    void lend_to(AnyFar& model, Weights which) override { Base::share(model.parameters(), which); }
};

template <class C, class B>
std::unique_ptr<AnyFarTraining> make_far_training(const FarTrainingSettings& settings) {
    return std::make_unique<FarTrainingOn<C, B>>(settings);
}

}  // namespace flowfar::program
