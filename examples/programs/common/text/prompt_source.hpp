#pragma once

// What a FAR from text is conditioned on: contexts of numbered prompts, made by a language model or kept in a file.

#include <span>
#include <vector>

#include "flowfar/core/dtype.hpp"

namespace flowfar::program {

class PromptSource {
   public:
    PromptSource() = default;
    PromptSource(const PromptSource&) = delete;
    PromptSource& operator=(const PromptSource&) = delete;
    virtual ~PromptSource() = default;

    /// Number of prompts.
    [[nodiscard]] virtual Index size() const = 0;
    /// The contexts of these prompts, [labels, tokens, width].
    [[nodiscard]] virtual std::vector<float> contexts(std::span<const Index> labels) = 0;
};

}  // namespace flowfar::program
