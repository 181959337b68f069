#pragma once

// Training of FAR from text behind one run-time interface: a label is the number of a prompt.

#include <memory>
#include <utility>

#include "common/text/prompt_source.hpp"
#include "common/training/any_far_training.hpp"

namespace flowfar::program {

class AnyFarTextTraining : public AnyFarTraining {
   public:
    /// From here on, label i stands for the source's prompt i.
    void attach(std::shared_ptr<PromptSource> prompts) { prompts_ = std::move(prompts); }

   protected:
    std::shared_ptr<PromptSource> prompts_;
};

/// Defined once per configuration and backend, see far_text_training_impl.hpp.
template <class C, class B>
[[nodiscard]] std::unique_ptr<AnyFarTextTraining> make_far_text_training(const FarTrainingSettings& settings);

}  // namespace flowfar::program
