#pragma once

/// Tells from a file's tensors which of the library's models it holds, for errors that name it.

#include <algorithm>
#include <string>
#include <string_view>

#include "flowfar/core/error.hpp"
#include "flowfar/io/tensors/weights.hpp"

namespace flowfar::io {

/// "FAR", "FAR from text", "MAR", "raster AR", "VAR", "FlowMo", "MaskGiT" or "KL autoencoder"; "" for anything else.
[[nodiscard]] inline std::string_view model_kind(const WeightsFile& file) {
    const auto holds = [&](std::string_view tensor) {  // below whatever root
        const auto& names = file.names();
        return std::any_of(names.begin(), names.end(), [&](const std::string& name) { return name.ends_with(tensor); });
    };
    if (holds("context_embed.weight")) {
        return "FAR from text";
    }
    if (holds("diffloss.net.input_proj.weight")) {
        // The diffusion head is told a level or scale; the transformer has an encoder or is one stack.
        const bool indexed = holds("diffloss.net.index_cond_embed.weight");
        if (holds("pos_embed_learned") && !holds("encoder_pos_embed_learned")) {
            return indexed ? "VAR" : "raster AR";
        }
        return indexed ? "FAR" : "MAR";
    }
    return holds("encoder.txt_in.weight")    ? "FlowMo"
           : holds("head_dense.weight")      ? "MaskGiT"
           : holds("post_quant_conv.weight") ? "KL autoencoder"
                                             : "";
}

/// Throws `Error` if the file holds another of the library's models. Unknown ones pass: loading them names what is
/// missing.
inline void require_kind(const Weights& weights, std::string_view expected) {
    const std::string_view found = model_kind(weights.file());
    require(found.empty() || found == expected, weights.path().string(), ": this is a ", found, " file, ", expected,
            " expected");
}

}  // namespace flowfar::io
