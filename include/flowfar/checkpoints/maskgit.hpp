#pragma once

/// Tells from a file's tensors which MaskGit configuration it belongs to.

#include <map>
#include <string>
#include <string_view>

#include "flowfar/checkpoints/load.hpp"
#include "flowfar/checkpoints/model_kind.hpp"
#include "flowfar/io/tensors/weights.hpp"
#include "flowfar/maskgit/config.hpp"

namespace flowfar::io {

/// What the tensors of a MaskGit show of its configuration. (They show neither the number of attention heads nor how a
/// token's values form codewords.)
struct MaskGitSize {
    Index classes = 0;
    Index tokens = 0;
    Index values = 0;  ///< per token
    Index scores = 0;  ///< groups · codewords
    Index hidden = 0;
    Index depth = 0;

    bool operator==(const MaskGitSize&) const = default;
};

template <class C>
[[nodiscard]] constexpr MaskGitSize maskgit_size_of() {
    using Config = CheckedMaskGitConfig<C>;
    return {C::classes, C::tokens, Config::values, C::groups * Config::codewords, C::hidden, C::depth};
}

/// Sizes found in a file; 0 for what its tensors do not show.
[[nodiscard]] inline MaskGitSize maskgit_size_of(const Weights& weights) {
    const auto without_first = [](Index extent) { return extent > 0 ? extent - 1 : 0; };
    MaskGitSize out;
    out.classes = without_first(weights.extent("class_emb.weight", 0));
    out.tokens = without_first(weights.extent("pos_embed", 1));
    out.values = weights.extent("input_proj.weight", 1);
    out.scores = weights.extent("head.weight", 0);
    out.hidden = weights.extent("input_proj.weight", 0);
    out.depth = weights.list_length("blocks");
    return out;
}

[[nodiscard]] inline std::string to_string(const MaskGitSize& size) {
    return text(size.depth, " blocks of width ", size.hidden, ", ", size.tokens, " tokens of ", size.values,
                " values, ", size.scores, " scores each, ", size.classes, " classes");
}

namespace detail {

/// The name of the preset with this size, or "".
template <class... Presets>
[[nodiscard]] std::string_view maskgit_preset(const MaskGitSize& size) {
    std::string_view found;
    static_cast<void>(((maskgit_size_of<Presets>() == size && (found = Presets::name, true)) || ...));
    return found;
}

}  // namespace detail

/// The library's configuration of this size by name, or "".
[[nodiscard]] inline std::string_view maskgit_preset_of(const MaskGitSize& size) {
    return detail::maskgit_preset<MaskGit172M, MaskGit306M, MaskGit372M, MaskGitTiny, MaskGitNano>(size);
}

/// Throws `Error` if the file holds a MaskGit of another size than C, or says that it has another codebook; the text
/// names the preset to use. Other kinds of models are errors, too; unknown files pass: loading them names what is
/// missing.
template <class C>
void check_maskgit_weights(const Weights& weights) {
    require_kind(weights, "MaskGiT");
    const MaskGitSize found = maskgit_size_of(weights);
    if (found.hidden == 0 || found.depth == 0) {
        return;
    }
    if (found != maskgit_size_of<C>()) {
        const std::string_view preset = maskgit_preset_of(found);
        fail(weights.where(), ": this model is ", preset.empty() ? "no preset" : preset, " (", found, "), but ",
             C::name, " was expected (", maskgit_size_of<C>(), ")",
             preset.empty() ? "; derive a configuration with these sizes" : "; use the preset ", preset);
    }
    const std::string expected = C::Codebook::levels_text();
    for (const auto& [name, value] : weights.file().notes()) {
        require(name != "levels" || value == expected, weights.where(), ": this model's codewords have the levels ",
                value, ", but those of ", C::name, " have ", expected);
    }
}

}  // namespace flowfar::io

namespace flowfar {

template <class C, class B, class T>
struct CheckpointTraits<MaskGit<C, B, T>> {
    static void check(const io::Weights& weights) { io::check_maskgit_weights<C>(weights); }
    [[nodiscard]] static std::map<std::string, std::string> facts() {
        return {{"configuration", std::string(C::name)}, {"levels", C::Codebook::levels_text()}};
    }
};

}  // namespace flowfar
