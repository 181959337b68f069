#pragma once

/// Tells from a file's tensors which MAR configuration it belongs to.

#include <map>
#include <string>

#include "flowfar/checkpoints/far.hpp"
#include "flowfar/mar/config.hpp"

namespace flowfar {

template <class C, class B, class T>
struct CheckpointTraits<Mar<C, B, T>> {
    /// Throws `Error` if the file holds a MAR of another size, or another kind of model; the text names the preset to
    /// use.
    static void check(const io::Weights& weights) {
        io::require_kind(weights, "MAR");
        io::detail::check_masked_size<C, MarB, MarL, MarH, MarTiny>(weights);
    }
    [[nodiscard]] static std::map<std::string, std::string> facts() {
        return {{"configuration", std::string(C::name)}};
    }
};

}  // namespace flowfar
