#pragma once

// FAR from text behind the run-time interface of FAR: a label is the number of a prompt.

#include <memory>
#include <string>
#include <vector>

#include "common/models/any_far.hpp"

namespace flowfar::program {

/// How much of the prompts was read.
struct PromptReport {
    std::vector<Index> cut;  // for each prompt, how many of its last tokens did not fit
    Index length = 0;        // tokens that fit
};

class AnyFarText : public AnyFar {
   public:
    /// Reads prompts with the language model in a folder, which also holds its tokenizer; the model is gone afterwards.
    /// From here on, label i stands for prompt i.
    virtual PromptReport read(const std::vector<std::string>& prompts, const io::Path& language) = 0;
};

/// A model without values. Defined once per configuration, backend and element type, see far_text_model_impl.hpp.
template <class C, class B, class T>
[[nodiscard]] std::unique_ptr<AnyFarText> make_far_text();

}  // namespace flowfar::program
