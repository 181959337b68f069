#pragma once

// MaskGiT models chosen at run time; the twin of far_file.hpp.

#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/checkpoints/codes/token_set.hpp"
#include "flowfar/checkpoints/maskgit.hpp"
#include "flowfar/checkpoints/model_kind.hpp"
#include "flowfar/io/tensors/weights.hpp"

#include "common/files/escaped.hpp"
#include "common/models/any_flowmo.hpp"
#include "common/models/any_maskgit.hpp"
#include "common/models/model_file.hpp"
#include "config_tables.hpp"

namespace flowfar::program {

/// A model of the configuration of this name, without values.
[[nodiscard]] inline std::unique_ptr<AnyMaskGit> make_maskgit(std::string_view name, ModelKind kind) {
    std::unique_ptr<AnyMaskGit> model;
    MaskGitConfigs::visit(
        name, [&]<class C>() { Backends::visit(kind, [&]<class B, class T>() { model = make_maskgit<C, B, T>(); }); });
    return model;
}

/// The configuration of a model file: what token_train wrote into it, else what the tensors show.
[[nodiscard]] inline std::string maskgit_configuration(const io::WeightsFile& file) {
    io::require_kind(io::Weights(file, ""), "MaskGiT");
    if (const std::string named = named_configuration(file); !named.empty()) {
        return named;
    }
    const io::Weights weights = io::Weights::find(file, {"head_dense.weight"});
    const io::MaskGitSize size = io::maskgit_size_of(weights);
    require(size.hidden > 0 && size.depth > 0, weights.where(),
            ": no MaskGiT model: the tensors lack input_proj and blocks");
    return chosen_configuration(weights.where(), to_string(size),
                                MaskGitConfigs::matching([&]<class C>() { return io::maskgit_size_of<C>() == size; }),
                                io::maskgit_preset_of(size), "FLOWFAR_PROGRAM_TOKEN_CONFIGS");
}

/// What a model's tokens are, as a tokenizer or a set of shards says of its own.
struct TokenKind {
    std::string configuration;  // of the tokenizer
    std::uint64_t hash = 0;     // of it
    Index length = 0, per_token = 0, bits = 0;
    std::string levels;

    [[nodiscard]] static TokenKind of(const FlowMoFacts& f) {
        return {f.name, f.hash, f.code_length, f.per_token, f.bits, f.levels};
    }
    [[nodiscard]] static TokenKind of(const io::TokenSetFacts& f) {
        return {f.configuration, f.hash, f.length, f.per_token, f.bits, f.levels};
    }
    /// Throws `Error` unless a generator of this configuration makes such tokens; `where` begins the message.
    void require_fit(const MaskGitFacts& facts, const std::string& where) const {
        require(length == facts.tokens && per_token == facts.groups && levels == facts.levels, where, ": tokens of ",
                configuration, " are ", length, " of ", per_token, " codewords with levels ", levels, ", but ",
                facts.name, " generates ", facts.tokens, " of ", facts.groups, " with levels ", facts.levels);
    }
};

/// A model ready to generate tokens.
struct MaskGitFile {
    std::unique_ptr<AnyMaskGit> model;
    std::vector<std::string> classes;           // names; empty if the file does not tell
    std::optional<std::uint64_t> tokenizer;     // hash of its configuration, if the file tells
    std::string tokenizer_name, tokenizer_key;  // of the file (file_key); empty if the file does not tell
};

/// Reads a model file of any format; averaged weights where there are both. `config` overrides what the file says of
/// its configuration.
[[nodiscard]] inline MaskGitFile load_maskgit(const std::string& path, const std::string& config, ModelKind kind) {
    const io::WeightsFile file(path);
    std::map<std::string, std::string> facts;
    for (auto& [name, value] : file.notes()) {
        facts[name] = value;
    }
    MaskGitFile out;
    out.model = make_maskgit(config.empty() ? maskgit_configuration(file) : config, kind);
    out.classes = unescaped_lines(facts["classes"]);
    out.tokenizer_name = facts["tokenizer"];
    out.tokenizer_key = facts["tokenizer_key"];
    const std::string& word = facts["tokenizer_hash"];
    std::uint64_t hash = 0;
    if (const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), hash);
        error == std::errc() && end == word.data() + word.size() && !word.empty()) {
        out.tokenizer = hash;
    }
    out.model->load(path);
    return out;
}

}  // namespace flowfar::program
