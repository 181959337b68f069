#pragma once

// A FAR's model file with what its metadata say: configuration, classes, scale of the latents.

#include <charconv>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/checkpoints/far.hpp"
#include "flowfar/checkpoints/model_kind.hpp"
#include "flowfar/io/tensors/weights.hpp"

#include "common/files/escaped.hpp"
#include "common/models/far_model.hpp"
#include "common/models/latent_tokenizer.hpp"
#include "common/models/model_file.hpp"

namespace flowfar::program {

/// A model ready to generate images.
struct FarFile {
    std::unique_ptr<AnyFar> model;
    std::unique_ptr<AnyTokenizer> tokenizer;
    std::vector<std::string> classes;  // names; empty if the file does not tell
};

/// Where a model comes from. `config` overrides what the file says of its configuration.
struct FarFileArguments {
    std::string model, tokenizer, config;
    bool masked = false;
};

/// The configuration of a model file: what far_train wrote into it, else what the tensors show.
[[nodiscard]] inline std::string far_configuration(const io::WeightsFile& file) {
    io::require_kind(io::Weights(file, ""), "FAR");
    if (const std::string named = named_configuration(file); !named.empty()) {
        return named;
    }
    const io::Weights weights = io::Weights::find(file, {"z_proj.weight"});
    const io::FarSize size = io::far_size_of(weights);
    require(size.hidden > 0 && size.encoder_depth > 0 && size.head_depth > 0, weights.where(),
            ": no FAR model: the tensors lack z_proj, encoder_blocks and diffloss.net");
    return chosen_configuration(weights.where(), to_string(size),
                                FarConfigs::matching([&]<class C>() { return io::far_size_of<C>() == size; }),
                                io::far_preset_of(size), "FLOWFAR_PROGRAM_FAR_CONFIGS");
}

/// Reads a model file of any format; averaged weights where there are both.
[[nodiscard]] inline FarFile load_far(const FarFileArguments& a, ModelKind kind) {
    const io::WeightsFile file(a.model);
    std::map<std::string, std::string> facts;
    for (auto& [name, value] : file.notes()) {
        facts[name] = value;
    }
    FarFile out;
    const bool masked = a.masked || io::far_masked(file).value_or(facts["option.masked"] == "true");
    out.model = make_far(a.config.empty() ? far_configuration(file) : a.config, masked, kind);
    out.tokenizer = make_tokenizer(out.model->facts().channels, out.model->facts().height, out.model->facts().width,
                                   a.tokenizer, kind.device);
    if (!out.tokenizer->facts().fixed_scale) {
        const std::string& word = facts["latent_scale"];
        double scale = 0.0;
        const auto [end, status] = std::from_chars(word.data(), word.data() + word.size(), scale);
        require(status == std::errc() && end == word.data() + word.size() && scale > 0.0, a.model,
                ": the metadata have no \"latent_scale\", a positive number, found \"", word, "\"");
        out.tokenizer->set_scale(scale);
    }
    out.classes = unescaped_lines(facts["classes"]);
    out.model->load(a.model);
    return out;
}

}  // namespace flowfar::program
