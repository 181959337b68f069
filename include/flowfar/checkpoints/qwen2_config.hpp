#pragma once

/// The configuration file of a Qwen2 model.

#include <string>

#include "flowfar/io/bytes/file.hpp"
#include "flowfar/qwen2/config.hpp"

namespace flowfar::io {

/// What config.json says of a Qwen2 model's computation.
struct Qwen2Size {
    Index vocabulary = 0;
    Index hidden = 0;
    Index layers = 0;
    Index heads = 0;
    Index key_heads = 0;
    Index mlp = 0;
    double rope_base = 0.0;
    double epsilon = 0.0;

    bool operator==(const Qwen2Size&) const = default;
};

[[nodiscard]] std::string to_string(const Qwen2Size& size);

/// Reads config.json of transformers, of Qwen2 or of Qwen2-VL's language model. Throws `Error` for what this library
/// does not compute: sliding windows, scaled rotary embeddings, other architectures.
[[nodiscard]] Qwen2Size read_qwen2_config(const Path& path);

template <class C>
[[nodiscard]] constexpr Qwen2Size qwen2_size_of() {
    return {C::vocabulary, C::hidden, C::layers, C::heads, C::key_heads, C::mlp, C::rope_base, C::epsilon};
}

}  // namespace flowfar::io

#if !defined(FLOWFAR_SEPARATE_DEFINITIONS)
#include "flowfar/impl/checkpoints/qwen2_config.ipp"
#endif
