#pragma once

// A FAR's model file with what its metadata say: configuration, classes, scale of the latents.

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/io/tensors/weights.hpp"

#include "common/models/far_model.hpp"
#include "common/models/latent_tokenizer.hpp"

namespace flowfar::program {

/// A model ready to generate images.
struct FarFile {
    std::unique_ptr<AnyFar> model;
    std::unique_ptr<AnyTokenizer> tokenizer;
    std::vector<std::string> classes;  // names; empty if the file does not tell
};

/// Where a model comes from. `config` is needed only for files that were not written by far_train, which name their
/// own.
struct FarFileArguments {
    std::string model, tokenizer, config;
    bool masked = false;
};

[[nodiscard]] inline FarFile load_far(const FarFileArguments& a, ModelKind kind) {
    std::map<std::string, std::string> facts;
    if (a.config.empty()) {
        for (auto& [name, value] : io::WeightsFile(a.model).notes()) {
            facts[name] = value;
        }
        require(facts.contains("configuration"), a.model,
                ": the metadata lack \"configuration\"; not written by far_train? Name one with --config");
    }
    FarFile out;
    const bool masked = a.masked || facts["masked"] == "1";
    out.model = make_far(a.config.empty() ? facts["configuration"] : a.config, masked, kind);
    out.tokenizer = make_tokenizer(out.model->facts().channels, out.model->facts().side, a.tokenizer, kind.device);
    if (!out.tokenizer->facts().fixed_scale) {
        const std::string& word = facts["latent_scale"];
        double scale = 0.0;
        const auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), scale);
        require(status == std::errc() && end == word.data() + word.size() && scale > 0.0, a.model,
                ": the metadata have no \"latent_scale\", a positive number, found \"", word, "\"");
        out.tokenizer->set_scale(scale);
    }
    const std::string& names = facts["classes"];
    for (std::size_t begin = 0; begin < names.size();) {
        const std::size_t end = std::min(names.find('\n', begin), names.size());
        out.classes.push_back(names.substr(begin, end - begin));
        begin = end + 1;
    }
    out.model->load(a.model);
    return out;
}

}  // namespace flowfar::program
