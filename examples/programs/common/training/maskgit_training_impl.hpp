#pragma once

// Defines make_maskgit_training<C, B>(); included only by the units that examples/CMakeLists.txt generates per
// configuration and backend.

#include "common/training/any_maskgit_training.hpp"
#include "common/training/training_impl.hpp"

namespace flowfar::program {

template <class C, class B>
class MaskGitTrainingOn final : public TrainingWith<AnyMaskGitTraining, MaskGitTrainer<C, B>> {
   public:
    using Base = TrainingWith<AnyMaskGitTraining, MaskGitTrainer<C, B>>;

    explicit MaskGitTrainingOn(const MaskGitTrainingSettings& settings)
        : Base(settings.options, parameters_from(settings.initial_model, settings.options.seed)) {}

    std::function<MaskGitTrainReport()> queue_step(const Tokens& tokens, const std::vector<Index>& labels) override {
        return [pending = this->trainer_.queue_step(tokens, labels)]() mutable { return pending.get(); };
    }
    void lend_to(AnyMaskGit& model, Weights which) override { Base::share(model.parameters(), which); }
};

template <class C, class B>
std::unique_ptr<AnyMaskGitTraining> make_maskgit_training(const MaskGitTrainingSettings& settings) {
    return std::make_unique<MaskGitTrainingOn<C, B>>(settings);
}

}  // namespace flowfar::program
