#pragma once

#include <string_view>

#include "flowfar/core/layout.hpp"

namespace flowfar {

/// Qwen2 configurations are named types; derive from one to change a member. This is Qwen2-1.5B, also the language
/// model of Qwen2-VL-2B: 1.54 billion parameters, the text encoder of FAR's text-to-image model.
struct Qwen1B5 {
    static constexpr std::string_view name = "Qwen1B5";
    static constexpr Index vocabulary = 151936;  ///< rows of the embedding
    static constexpr Index hidden = 1536;
    static constexpr Index layers = 28;
    static constexpr Index heads = 12;     ///< of queries
    static constexpr Index key_heads = 2;  ///< of keys and values; each serves heads / key_heads heads of queries
    static constexpr Index mlp = 8960;
    static constexpr double rope_base = 1e6;
    static constexpr double epsilon = 1e-6;  ///< of the normalizations
};

/// The model of a configuration on a backend: qwen2/model.hpp.
template <class C, class B, class T = float>
class Qwen2;

/// Everything that a configuration must satisfy; instantiating it checks.
template <class C>
struct CheckedQwen2Config : C {
    static_assert(C::vocabulary >= 1 && C::hidden >= 1 && C::layers >= 1 && C::mlp >= 1,
                  "Qwen2: vocabulary, widths and layers are positive");
    static_assert(C::heads >= 1 && C::hidden % C::heads == 0,
                  "Qwen2: the number of heads must divide the hidden width");
    static_assert(C::key_heads >= 1 && C::heads % C::key_heads == 0,
                  "Qwen2: the number of key heads must divide that of query heads");
    static_assert(C::hidden / C::heads % 2 == 0, "Qwen2: the head size must be even");
    static constexpr Index head_size = C::hidden / C::heads;
};

}  // namespace flowfar
