#pragma once

// A language model that reads prompts, behind a run-time interface.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "flowfar/io/bytes/file.hpp"

#include "common/text/prompt_source.hpp"

namespace flowfar::program {

/// Where prompt i comes from, for messages.
using PromptPlace = std::function<std::string(std::size_t)>;

/// How much of the prompts is read.
struct PromptReport {
    std::vector<Index> cut;  // for each prompt, how many of its last tokens do not fit
    Index length = 0;        // tokens that fit
};

/// Reads a prompt when its context is asked for. The language model is loaded for the first and let go after the last
/// that is expected; a context is kept until the call after its use.
class AnyPromptReader : public PromptSource {
   public:
    /// Extents of a context.
    [[nodiscard]] virtual Index tokens() const = 0;
    [[nodiscard]] virtual Index width() const = 0;
    /// From here on, label i stands for prompt i. Throws `Error` for a text that is no UTF-8; `where(i)` tells where it
    /// comes from.
    virtual PromptReport take(std::vector<std::string> prompts, const PromptPlace& where) = 0;
    /// Announces all labels that will be asked for.
    virtual void expect(std::span<const Index> labels) = 0;
    /// Reads all prompts that are expected, and lets the language model go.
    virtual void read_ahead() = 0;
};

/// For contexts of the FAR from text C: opens the folder of its language model and tokenizer, and throws `Error` unless
/// they fit C and each other. Defined once per configuration, backend and element type, see prompt_reader_impl.hpp.
template <class C, class B, class T>
[[nodiscard]] std::shared_ptr<AnyPromptReader> make_prompt_reader(const io::Path& language);

}  // namespace flowfar::program
