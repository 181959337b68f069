#pragma once

/// Tells from a file's tensors which configuration of FAR from text it belongs to.

#include <map>
#include <string>

#include "flowfar/checkpoints/far.hpp"
#include "flowfar/far/text/config.hpp"

namespace flowfar {

namespace io {

/// What the tensors of a FAR from text show of its configuration. (They do not show the numbers of attention heads.)
struct FarTextSize {
    FarSize network;  ///< without classes and buffer
    Index context_tokens = 0;
    Index context_width = 0;

    bool operator==(const FarTextSize&) const = default;
};

template <class C>
[[nodiscard]] constexpr FarTextSize far_text_size_of() {
    FarTextSize out{far_size_of<C>(), C::context_tokens, C::context_width};
    out.network.classes = 0;
    return out;
}

/// Sizes found in a file; 0 for what its tensors do not show.
[[nodiscard]] inline FarTextSize far_text_size_of(const Weights& weights) {
    return {far_size_of(weights), weights.extent("fake_latent", 1), weights.extent("context_embed.weight", 1)};
}

[[nodiscard]] inline std::string to_string(const FarTextSize& size) {
    return text(network_text(size.network), ", contexts of ", size.context_tokens, " tokens of width ",
                size.context_width);
}

}  // namespace io

template <class C, class B, class T>
struct CheckpointTraits<FarText<C, B, T>> {
    /// Throws `Error` if the file holds a model of another size than C, or another kind of model. Unknown files pass:
    /// loading them names what is missing.
    static void check(const io::Weights& weights) {
        io::require_kind(weights, "FAR from text");
        const io::FarTextSize found = io::far_text_size_of(weights);
        require(found.context_width == 0 || found.network.hidden == 0 || found == io::far_text_size_of<C>(),
                weights.where(), ": this model has ", to_string(found), ", but ", C::name, " was expected (",
                to_string(io::far_text_size_of<C>()), "); derive a configuration with these sizes");
    }
    [[nodiscard]] static std::map<std::string, std::string> facts() {
        return {{"configuration", std::string(C::name)}, {"masked", C::masked ? "1" : "0"}};
    }
};

}  // namespace flowfar
