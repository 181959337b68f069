#pragma once

// A FAR from text with its prompts, from files.

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include "flowfar/checkpoints/far_text.hpp"
#include "flowfar/io/tensors/weights.hpp"

#include "common/cli/printable.hpp"
#include "common/models/far_file.hpp"
#include "common/text/any_far_text.hpp"
#include "common/text/any_prompt_reader.hpp"
#include "common/text/prompt_list.hpp"
#include "text_config_tables.hpp"

namespace flowfar::program {

/// What to generate from text.
struct PromptArguments {
    std::string prompt, prompts, language;
    /// One prompt, or those of a file; none if neither was given.
    [[nodiscard]] PromptList list(bool single) const {
        require(!single || prompts.empty(), "--prompts: expected no --prompt beside it");
        return single            ? PromptList{PromptKind::lines, {prompt}}
               : prompts.empty() ? PromptList{}
                                 : read_prompts(prompts);
    }
};

/// The configuration of a model file: what far_train wrote into it, else what the tensors show.
[[nodiscard]] inline std::string far_text_configuration(const io::WeightsFile& file) {
    io::require_kind(io::Weights(file, ""), "FAR from text");
    if (const std::string named = named_configuration(file); !named.empty()) {
        return named;
    }
    const io::Weights weights = io::Weights::find(file, {"context_embed.weight"});
    const io::FarTextSize size = io::far_text_size_of(weights);
    require(size.network.hidden > 0 && size.context_width > 0, weights.where(),
            ": no FAR from text: the tensors lack z_proj and context_embed");
    const bool published = size == io::far_text_size_of<FarText256>();
    return chosen_configuration(weights.where(), to_string(size),
                                TextConfigs::matching([&]<class C>() { return io::far_text_size_of<C>() == size; }),
                                published ? "FarTextQwen" : "", "FLOWFAR_PROGRAM_TEXT_CONFIGS");
}

/// A model without values, and the reader of its prompts.
[[nodiscard]] inline std::unique_ptr<AnyFarText> make_far_text(std::string_view name, ModelKind kind) {
    std::unique_ptr<AnyFarText> model;
    TextConfigs::visit(
        name, [&]<class C>() { Backends::visit(kind, [&]<class B, class T>() { model = make_far_text<C, B, T>(); }); });
    return model;
}
[[nodiscard]] inline std::shared_ptr<AnyPromptReader> make_prompt_reader(std::string_view name,
                                                                         const std::string& language, ModelKind kind) {
    require(!language.empty(), "--language: expected the folder of the language model that reads the prompts");
    require(std::filesystem::is_directory(language), "--language ", language,
            ": no such folder, expected a language model's");
    std::shared_ptr<AnyPromptReader> reader;
    TextConfigs::visit(name, [&]<class C>() {
        Backends::visit(kind, [&]<class B, class T>() { reader = make_prompt_reader<C, B, T>(language); });
    });
    return reader;
}

/// Gives the prompts to their reader, and tells which are too long: the first five, and how many others.
inline void take_prompts(AnyPromptReader& reader, const std::vector<std::string>& prompts, const PromptPlace& where) {
    const PromptReport report = reader.take(prompts, where);
    const auto say = [](const std::string& line) { std::fprintf(stderr, "%s\n", printable(line).c_str()); };
    Index cut = 0;
    for (std::size_t i = 0; i < prompts.size(); ++i) {
        if (report.cut[i] > 0 && ++cut <= 5) {
            say(text(where(i), ": only the first ", report.length, " tokens are read, ", report.cut[i], " are not"));
        }
    }
    if (cut > 5) {
        say(text("in all, ", cut, " of ", prompts.size(), " prompts have more than ", report.length, " tokens"));
    }
}

struct FarTextFile {
    FarFile far;  // classes are the prompts
    std::shared_ptr<AnyPromptReader> reader;
};

/// The model and the reader of its prompts; label i is prompt i. Everything is checked before a prompt is read: kinds
/// and sizes of all files, then the prompts' encoding.
[[nodiscard]] inline FarTextFile load_far_text(const FarFileArguments& a, const PromptList& prompts,
                                               const std::string& language, ModelKind kind) {
    const std::string found = far_text_configuration(io::WeightsFile(a.model));
    const std::string& config = a.config.empty() ? found : a.config;
    std::unique_ptr<AnyFarText> model = make_far_text(config, kind);
    FarTextFile out;
    out.reader = make_prompt_reader(config, language, kind);
    const FarFacts& facts = model->facts();
    out.far.tokenizer = make_tokenizer(facts.channels, facts.height, facts.width, a.tokenizer, kind.device);
    require(out.far.tokenizer->facts().fixed_scale, a.model, ": latents of unknown scale");
    take_prompts(*out.reader, prompts.texts, [&](std::size_t i) { return prompts.where(i); });
    model->load(a.model);
    model->attach(out.reader);
    out.far.classes = prompts.texts;
    out.far.model = std::move(model);
    return out;
}

}  // namespace flowfar::program
