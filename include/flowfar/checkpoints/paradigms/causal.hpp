#pragma once

/// Tells from a file's tensors which raster or VAR configuration it belongs to.

#include <map>
#include <string>
#include <string_view>

#include "flowfar/checkpoints/load.hpp"
#include "flowfar/checkpoints/model_kind.hpp"
#include "flowfar/io/tensors/weights.hpp"
#include "flowfar/raster/config.hpp"
#include "flowfar/var/config.hpp"

namespace flowfar::io {

/// What the tensors of a causal model show of its configuration.
struct CausalSize {
    Index classes = 0;
    Index places = 0;  ///< positions of the sequence, the buffer's among them
    Index tokens = 0;  ///< that are predicted
    Index token_dim = 0;
    Index hidden = 0;
    Index mlp = 0;  ///< inner width of the MLPs
    Index depth = 0;
    Index head_width = 0;
    Index head_depth = 0;

    bool operator==(const CausalSize&) const = default;
};

/// That of a checked configuration.
template <class Config>
[[nodiscard]] constexpr CausalSize causal_size_of() {
    return {Config::classes, Config::places, Config::length,     Config::token_dim, Config::hidden,
            Config::mlp,     Config::depth,  Config::head_width, Config::head_depth};
}

/// Sizes found in a file; 0 for what its tensors do not show.
[[nodiscard]] inline CausalSize causal_size_of(const Weights& weights) {
    CausalSize out;
    out.classes = weights.extent("class_emb.weight", 0);
    out.places = weights.extent("pos_embed_learned", 1);
    out.tokens = weights.extent("diffusion_pos_embed_learned", 1);
    out.hidden = weights.extent("z_proj.weight", 0);
    out.token_dim = weights.extent("z_proj.weight", 1);
    out.mlp = weights.extent("blocks.0.mlp.fc1.weight", 0);
    out.depth = weights.list_length("blocks");
    out.head_width = weights.extent("diffloss.net.input_proj.weight", 0);
    out.head_depth = weights.list_length("diffloss.net.res_blocks");
    return out;
}

[[nodiscard]] inline std::string to_string(const CausalSize& size) {
    return text("width ", size.hidden, " (MLPs ", size.mlp, "), ", size.depth, " blocks, diffusion MLP of ",
                size.head_depth, " blocks of width ", size.head_width, ", ", size.tokens, " tokens of ", size.token_dim,
                " at ", size.places, " positions, ", size.classes, " classes");
}

/// Throws `Error` if the file holds a causal model of another size than `Config`'s or another kind of model than
/// `kind`. Unknown files pass: loading them names what is missing.
template <class Config>
void check_causal_weights(const Weights& weights, std::string_view kind) {
    require_kind(weights, kind);
    const CausalSize found = causal_size_of(weights);
    require(found.hidden == 0 || found.depth == 0 || found.head_depth == 0 || found == causal_size_of<Config>(),
            weights.where(), ": this model has ", found, ", but ", Config::name, " was expected (",
            causal_size_of<Config>(), "); derive a configuration with these sizes");
}

/// Throws `Error` if the file says that its scales add up and `residual` is false, or the reverse. The tensors are the
/// same either way, so files that do not say pass.
inline void check_var_residual(const Weights& weights, bool residual) {
    for (const auto& [name, value] : weights.file().notes()) {
        require(name != "residual" || value == (residual ? "1" : "0"), weights.where(), ": this model was trained with",
                value == "1" ? "" : "out", " residual scales, ", residual ? "with them" : "without them", " expected");
    }
}

}  // namespace flowfar::io

namespace flowfar {

template <class C, class B, class T>
struct CheckpointTraits<Raster<C, B, T>> {
    static void check(const io::Weights& weights) {
        io::check_causal_weights<CheckedRasterConfig<C>>(weights, "raster AR");
    }
    [[nodiscard]] static std::map<std::string, std::string> facts() {
        return {{"configuration", std::string(C::name)}};
    }
};

template <class C, class B, class T>
struct CheckpointTraits<Var<C, B, T>> {
    static void check(const io::Weights& weights) {
        io::check_causal_weights<CheckedVarConfig<C>>(weights, "VAR");
        io::check_var_residual(weights, C::residual);
    }
    [[nodiscard]] static std::map<std::string, std::string> facts() {
        return {{"configuration", std::string(C::name)}, {"residual", C::residual ? "1" : "0"}};
    }
};

}  // namespace flowfar
