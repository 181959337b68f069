#pragma once

/// Tells from a file's tensors which autoencoder it belongs to.

#include <map>
#include <string>

#include "flowfar/checkpoints/load.hpp"
#include "flowfar/checkpoints/model_kind.hpp"
#include "flowfar/far/vae/config.hpp"

namespace flowfar {

template <class C, class B, class T>
struct CheckpointTraits<Vae<C, B, T>> {
    /// Throws `Error` if the file holds an autoencoder of another width or number of latent channels. Unknown files
    /// pass: loading them names what is missing.
    static void check(const io::Weights& weights) {
        io::require_kind(weights, "KL autoencoder");
        const Index width = weights.extent("encoder.conv_in.weight", 0);
        const Index channels = weights.extent("post_quant_conv.weight", 0);
        require(width == 0 || channels == 0 || (width == C::width && channels == C::latent_channels), weights.where(),
                ": this autoencoder has width ", width, " and ", channels, " latent channels, but ", C::name,
                " was expected (", C::width, " and ", C::latent_channels, "); derive a configuration with these sizes");
    }
    [[nodiscard]] static std::map<std::string, std::string> facts() {
        return {{"configuration", std::string(C::name)}};
    }
};

}  // namespace flowfar
