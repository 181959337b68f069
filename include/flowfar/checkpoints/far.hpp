#pragma once

/// Tells from a file's tensors which FAR configuration it belongs to.

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "flowfar/checkpoints/load.hpp"
#include "flowfar/checkpoints/model_kind.hpp"
#include "flowfar/far/config.hpp"
#include "flowfar/io/tensors/weights.hpp"

namespace flowfar::io {

/// What the tensors of a FAR or MAR show of its configuration. (They show neither the numbers of attention heads nor
/// how the tokens are arranged in rows.)
struct FarSize {
    Index classes = 0;
    Index tokens = 0;
    Index token_dim = 0;
    Index buffer = 0;
    Index hidden = 0;
    Index encoder_mlp = 0;  ///< inner width of the MLPs
    Index decoder_hidden = 0;
    Index decoder_mlp = 0;
    Index encoder_depth = 0;
    Index decoder_depth = 0;
    Index head_width = 0;
    Index head_depth = 0;

    bool operator==(const FarSize&) const = default;
};

template <class C>
[[nodiscard]] constexpr FarSize far_size_of() {
    using Config = CheckedMaskedConfig<C>;
    return {C::classes,       Config::tokens,      Config::token_dim,      C::buffer,
            C::hidden,        Config::encoder_mlp, Config::decoder_hidden, Config::decoder_mlp,
            C::encoder_depth, C::decoder_depth,    C::head_width,          C::head_depth};
}

/// Sizes found in a file; 0 for what its tensors do not show, but for widths that the presets share.
[[nodiscard]] inline FarSize far_size_of(const Weights& weights) {
    FarSize out;
    out.classes = weights.extent("class_emb.weight", 0);
    out.hidden = weights.extent("z_proj.weight", 0);
    out.token_dim = weights.extent("z_proj.weight", 1);
    out.tokens = weights.extent("diffusion_pos_embed_learned", 1);
    out.buffer = weights.extent("encoder_pos_embed_learned", 1) - out.tokens;
    const auto shown = [&](const std::string& name, std::size_t axis, Index presets) {
        const Index extent = weights.extent(name, axis);
        return extent > 0 ? extent : presets;
    };
    out.decoder_hidden = shown("decoder_embed.weight", 0, out.hidden);
    const auto mlp = [&](const std::string& blocks, Index presets) {  // as blocks of classes or of text name it
        return shown(blocks + ".0.mlp.fc1.weight", 0, shown(blocks + ".0.ff.net.0.proj.weight", 0, presets));
    };
    out.encoder_mlp = mlp("encoder_blocks", 4 * out.hidden);
    out.decoder_mlp = mlp("decoder_blocks", 4 * out.decoder_hidden);
    out.encoder_depth = weights.list_length("encoder_blocks");
    out.decoder_depth = weights.list_length("decoder_blocks");
    out.head_width = weights.extent("diffloss.net.input_proj.weight", 0);
    out.head_depth = weights.list_length("diffloss.net.res_blocks");
    return out;
}

/// Whether the checkpoint says that it was trained with hidden tokens; nothing if it does not say. (Its tensors are the
/// same either way.) The original's files hold the program's arguments, ours the metadata "masked".
[[nodiscard]] inline std::optional<bool> far_masked(const WeightsFile& file) {
    for (const auto& [name, value] : file.notes()) {
        if (name == "args.mask" && (value == "True" || value == "False")) {
            return value == "True";
        }
        if (name == "masked" && (value == "1" || value == "0")) {
            return value == "1";
        }
    }
    return std::nullopt;
}

/// What models of classes and models from text have in common.
[[nodiscard]] inline std::string network_text(const FarSize& size) {
    const auto width = [](Index hidden, Index mlp) {
        return mlp == 4 * hidden ? text(hidden) : text(hidden, " (MLPs ", mlp, ")");
    };
    const std::string encoder = width(size.hidden, size.encoder_mlp);
    const std::string decoder = width(size.decoder_hidden, size.decoder_mlp);
    return text("width ", encoder, encoder == decoder ? std::string() : text(" + ", decoder), ", ", size.encoder_depth,
                " + ", size.decoder_depth, " blocks, diffusion MLP of ", size.head_depth, " blocks of width ",
                size.head_width, ", ", size.tokens, " tokens of ", size.token_dim);
}
[[nodiscard]] inline std::string to_string(const FarSize& size) {
    return text(network_text(size), ", ", size.buffer, " buffer positions, ", size.classes, " classes");
}

namespace detail {

/// The name of the preset with this size, or "".
template <class... Presets>
[[nodiscard]] std::string_view far_preset(const FarSize& size) {
    std::string_view found;
    static_cast<void>(((far_size_of<Presets>() == size && (found = Presets::name, true)) || ...));
    return found;
}

}  // namespace detail

/// The library's configuration of this size by name, or "".
[[nodiscard]] inline std::string_view far_preset_of(const FarSize& size) {
    return detail::far_preset<FarB, FarL, FarL1024, FarH, FarTiny, FarNano, FarTinyCode>(size);
}

namespace detail {

/// Throws `Error` if the file shows another size than C's; the text names the preset to use. Files that show no size
/// pass: loading them names what is missing.
template <class C, class... Presets>
void check_masked_size(const Weights& weights) {
    const FarSize found = far_size_of(weights);
    if (found.hidden == 0 || found.encoder_depth == 0 || found.head_depth == 0 || found == far_size_of<C>()) {
        return;
    }
    const std::string_view preset = far_preset<Presets...>(found);
    fail(weights.where(), ": this model is ", preset.empty() ? "no preset" : preset, " (", found, "), but ", C::name,
         " was expected (", far_size_of<C>(), ")",
         preset.empty() ? "; derive a configuration with these sizes" : "; use the preset ", preset);
}

}  // namespace detail

/// Throws `Error` if the file holds a FAR model of another size than C, or one that was trained with hidden tokens
/// where C has none (or the reverse); the text names the preset to use. Other kinds of models are errors,
/// too; unknown files pass: loading them names what is missing.
template <class C>
void check_far_weights(const Weights& weights) {
    require_kind(weights, "FAR");
    detail::check_masked_size<C, FarB, FarL, FarL1024, FarH, FarTiny, FarNano, FarTinyCode>(weights);
    const std::optional<bool> masked = far_masked(weights.file());
    if (masked.has_value() && *masked != C::masked) {
        fail(weights.where(), ": this model was trained with", *masked ? "" : "out", " hidden tokens; use the preset ",
             *masked ? text("Masked<", C::name, ">") : std::string(C::name));
    }
}

}  // namespace flowfar::io

namespace flowfar {

template <class C, class B, class T>
struct CheckpointTraits<Far<C, B, T>> {
    static void check(const io::Weights& weights) { io::check_far_weights<C>(weights); }
    [[nodiscard]] static std::map<std::string, std::string> facts() {
        return {{"configuration", std::string(C::name)}, {"masked", C::masked ? "1" : "0"}};
    }
};

}  // namespace flowfar
