#pragma once

// Defines make_far_text_training<C, B>(); included only by the units that examples/CMakeLists.txt generates.

#include "flowfar/far/text/train.hpp"

#include "common/cli/floats.hpp"
#include "common/text/any_far_text_training.hpp"
#include "common/text/far_text_configs.hpp"
#include "common/training/training_impl.hpp"

namespace flowfar::program {

template <class C, class B>
class FarTextTrainingOn final : public TrainingWith<AnyFarTextTraining, FarTextTrainer<C, B>> {
   public:
    using Trainer = FarTextTrainer<C, B>;
    using Base = TrainingWith<AnyFarTextTraining, Trainer>;

    explicit FarTextTrainingOn(const FarTrainingSettings& settings)
        : Base(settings.options, parameters_from(settings.initial_model, settings.options.seed)) {}

    std::function<FarTrainReport()> queue_step(const std::vector<float>& latents,
                                               const std::vector<Index>& labels) override {
        const auto batch = static_cast<Index>(labels.size());
        using Config = CheckedFarConfig<C>;
        const auto images = Trainer::Latents::from_host(latents, {batch, C::channels, Config::height, Config::width});
        const auto context = from_floats<typename Trainer::PlainModel::Context>(
            this->prompts_->contexts(labels), {batch, C::context_tokens, C::context_width});
        return [pending = this->trainer_.queue_step(images, context)]() mutable { return pending.get(); };
    }
    void lend_to(AnyFar& model, Weights which) override { Base::share(model.parameters(), which); }
};

template <class C, class B>
std::unique_ptr<AnyFarTextTraining> make_far_text_training(const FarTrainingSettings& settings) {
    return std::make_unique<FarTextTrainingOn<C, B>>(settings);
}

}  // namespace flowfar::program
