#pragma once

/// Tells from a file's tensors which FlowMo configuration it belongs to.

#include <map>
#include <string>
#include <string_view>

#include "flowfar/checkpoints/load.hpp"
#include "flowfar/checkpoints/model_kind.hpp"
#include "flowfar/flowmo/config.hpp"
#include "flowfar/io/tensors/weights.hpp"

namespace flowfar::io {

/// What the tensors of a FlowMo model show of its configuration. (They show neither image nor code length, nor the
/// number of attention heads.)
struct FlowMoSize {
    Index patch_dim = 0;   ///< 3 · patch²
    Index code_width = 0;  ///< values per token of the encoder's output
    Index encoder_hidden = 0;
    Index encoder_mlp = 0;  ///< inner width of the MLPs
    Index encoder_depth = 0;
    Index decoder_hidden = 0;
    Index decoder_mlp = 0;
    Index decoder_depth = 0;

    bool operator==(const FlowMoSize&) const = default;
};

template <class C>
[[nodiscard]] constexpr FlowMoSize flowmo_size_of() {
    return {CheckedFlowMoConfig<C>::patch_dim,
            CheckedFlowMoConfig<C>::code_width,
            C::encoder.hidden,
            C::encoder.mlp_width(),
            C::encoder.depth,
            C::decoder.hidden,
            C::decoder.mlp_width(),
            C::decoder.depth};
}

/// Sizes found in a file; 0 for what its tensors do not show.
[[nodiscard]] inline FlowMoSize flowmo_size_of(const Weights& weights) {
    FlowMoSize out;
    out.patch_dim = weights.extent("encoder.img_in.weight", 1);
    out.code_width = weights.extent("encoder.txt_in.weight", 1);
    out.encoder_hidden = weights.extent("encoder.img_in.weight", 0);
    const auto mlp = [&](std::string_view side, Index hidden) {  // where there are no MLPs, that of the presets
        const Index width = weights.extent(text(side, ".double_blocks.0.img_mlp.0.weight"), 0);
        return width > 0 ? width : 4 * hidden;
    };
    out.encoder_mlp = mlp("encoder", out.encoder_hidden);
    out.encoder_depth = weights.list_length("encoder.double_blocks");
    out.decoder_hidden = weights.extent("decoder.img_in.weight", 0);
    out.decoder_mlp = mlp("decoder", out.decoder_hidden);
    out.decoder_depth = weights.list_length("decoder.double_blocks");
    return out;
}

[[nodiscard]] inline std::string to_string(const FlowMoSize& size) {
    return text("patches of ", size.patch_dim, " values, code tokens of ", size.code_width, " values, encoder of ",
                size.encoder_depth, " blocks of width ", size.encoder_hidden, " (MLPs ", size.encoder_mlp,
                "), decoder of ", size.decoder_depth, " blocks of width ", size.decoder_hidden, " (MLPs ",
                size.decoder_mlp, ")");
}

namespace detail {

/// The name of the preset with this size, or "".
template <class... Presets>
[[nodiscard]] std::string_view flowmo_preset(const FlowMoSize& size) {
    std::string_view found;
    static_cast<void>(((flowmo_size_of<Presets>() == size && (found = Presets::name, true)) || ...));
    return found;
}

}  // namespace detail

/// The library's configuration of this size by name, or "".
[[nodiscard]] inline std::string_view flowmo_preset_of(const FlowMoSize& size) {
    return detail::flowmo_preset<FlowMoLo, FlowMoHi, FlowMoSmall, FlowMoLoFsq, FlowMoHiFsq, FlowMoTiny, FlowMoNano>(
        size);
}

/// Throws `Error` if the file holds a FlowMo model of another size than C, or says that it has another quantizer (its
/// tensors do not show which), and names the preset to use, or another kind
/// of model. Unknown files pass: loading them names what is missing.
template <class C>
void check_flowmo_weights(const Weights& weights) {
    require_kind(weights, "FlowMo");
    const FlowMoSize found = flowmo_size_of(weights);
    if (found.encoder_depth == 0 || found.decoder_depth == 0) {
        return;
    }
    if (found == flowmo_size_of<C>()) {
        const std::string expected = CheckedFlowMoConfig<C>::Quantizer::name();
        for (const auto& [name, value] : weights.file().notes()) {
            require(name != "quantizer" || value == expected, weights.where(), ": this model's quantizer is ", value,
                    ", but that of ", C::name, " is ", expected);
        }
        return;
    }
    const std::string_view preset = flowmo_preset_of(found);
    fail(weights.where(), ": this model is ", preset.empty() ? "no preset" : preset, " (", found, "), but ", C::name,
         " was expected (", flowmo_size_of<C>(), ")",
         preset.empty() ? "; derive a configuration with these sizes" : "; use the preset ", preset);
}

}  // namespace flowfar::io

namespace flowfar {

template <class C, class B, class T>
struct CheckpointTraits<FlowMo<C, B, T>> {
    static void check(const io::Weights& weights) { io::check_flowmo_weights<C>(weights); }
    [[nodiscard]] static std::map<std::string, std::string> facts() {
        return {{"configuration", std::string(C::name)}, {"quantizer", CheckedFlowMoConfig<C>::Quantizer::name()}};
    }
};

}  // namespace flowfar
