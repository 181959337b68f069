#pragma once

// FAR from text behind the run-time interface of FAR: a label is the number of a prompt.

#include <memory>
#include <utility>

#include "common/models/any_far.hpp"
#include "common/text/prompt_source.hpp"

namespace flowfar::program {

class AnyFarText : public AnyFar {
   public:
    /// From here on, label i stands for the source's prompt i.
    void attach(std::shared_ptr<PromptSource> prompts) {
        prompts_ = std::move(prompts);
        facts_.classes = prompts_->size();
    }

   protected:
    std::shared_ptr<PromptSource> prompts_;
};

/// A model without values. Defined once per configuration, backend and element type, see far_text_model_impl.hpp.
template <class C, class B, class T>
[[nodiscard]] std::unique_ptr<AnyFarText> make_far_text();

}  // namespace flowfar::program
