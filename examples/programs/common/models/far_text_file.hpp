#pragma once

// A FAR from text with its prompts, from files.

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/io/tensors/weights.hpp"

#include "common/cli/printable.hpp"
#include "common/models/any_far_text.hpp"
#include "common/models/far_file.hpp"
#include "text_config_tables.hpp"

namespace flowfar::program {

/// What to generate from text.
struct PromptArguments {
    std::string prompt, prompts, language;
    /// One prompt, or the lines of a file; none if neither was given.
    [[nodiscard]] std::vector<std::string> list(bool single) const {
        require(!single || prompts.empty(), "--prompts: expected no --prompt beside it");
        std::vector<std::string> out;
        if (single) {
            out.push_back(prompt);
        } else if (!prompts.empty()) {
            const std::string lines = io::read_text(prompts);
            for (std::size_t begin = 0; begin < lines.size();) {
                const std::size_t end = std::min(lines.find('\n', begin), lines.size());
                out.push_back(lines.substr(begin, end - begin));
                if (out.back().ends_with('\r')) {
                    out.back().pop_back();
                }
                begin = end + 1;
            }
            require(!out.empty(), prompts, ": expected a prompt per line, found an empty file");
        }
        return out;
    }
};

/// The model with its prompts read: label i is prompt i. The language model is read first and then let go.
[[nodiscard]] inline FarFile load_far_text(const FarFileArguments& a, const std::vector<std::string>& prompts,
                                           const std::string& language, ModelKind kind) {
    require(!language.empty(), "--language: expected the folder of the language model that reads the prompts");
    const std::string named = a.config.empty() ? named_configuration(io::WeightsFile(a.model)) : a.config;
    std::unique_ptr<AnyFarText> model;
    TextConfigs::visit(named.empty() ? std::string(FarText256::name) : named, [&]<class C>() {
        Backends::visit(kind, [&]<class B, class T>() { model = make_far_text<C, B, T>(); });
    });
    const PromptReport report = model->read(prompts, language);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        if (report.cut[i] > 0) {
            std::fprintf(stderr, "%s\n",
                         printable(text("prompt ", i + 1, ": only the first ", report.length, " tokens are read, ",
                                        report.cut[i], " are not"))
                             .c_str());
        }
    }
    FarFile out;
    const FarFacts& facts = model->facts();
    out.tokenizer = make_tokenizer(facts.channels, facts.height, facts.width, a.tokenizer, kind.device);
    require(out.tokenizer->facts().fixed_scale, a.model, ": latents of unknown scale");
    out.classes = prompts;
    model->load(a.model);
    out.model = std::move(model);
    return out;
}

}  // namespace flowfar::program
