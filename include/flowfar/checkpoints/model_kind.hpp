#pragma once

/// Tells from a file's tensors which of the library's models it holds, for errors that name it.

#include <string_view>
#include <utility>

#include "flowfar/core/error.hpp"
#include "flowfar/io/tensors/weights.hpp"

namespace flowfar::io {

/// "FAR", "FAR from text", "FlowMo", "MaskGiT" or "KL autoencoder"; "" for anything else.
[[nodiscard]] inline std::string_view model_kind(const WeightsFile& file) {
    constexpr std::pair<std::string_view, std::string_view> signs[] = {
        {"FAR from text", "context_embed.weight"},  // has what FAR has, too
        {"FAR", "diffloss.net.input_proj.weight"},
        {"FlowMo", "encoder.txt_in.weight"},
        {"MaskGiT", "head_dense.weight"},
        {"KL autoencoder", "post_quant_conv.weight"},
    };
    for (const auto& [kind, tensor] : signs) {
        for (const std::string& name : file.names()) {  // below whatever root
            if (name.ends_with(tensor)) {
                return kind;
            }
        }
    }
    return "";
}

/// Throws `Error` if the file holds another of the library's models. Unknown ones pass: loading them names what is
/// missing.
inline void require_kind(const Weights& weights, std::string_view expected) {
    const std::string_view found = model_kind(weights.file());
    require(found.empty() || found == expected, weights.path().string(), ": this is a ", found, " file, ", expected,
            " expected");
}

}  // namespace flowfar::io
