#pragma once

/// The language models that golden files were recorded with.

#include "flowfar/qwen2/config.hpp"

namespace flowfar::testing {

/// qwen2_tiny
struct Qwen2TinyGolden : Qwen1B5 {
    static constexpr std::string_view name = "Qwen2TinyGolden";
    static constexpr Index vocabulary = 512;
    static constexpr Index hidden = 64;
    static constexpr Index layers = 3;
    static constexpr Index heads = 4;
    static constexpr Index key_heads = 2;
    static constexpr Index mlp = 96;
};

/// qwen2_layer_full: one layer of the published size; the embedding is not used.
struct Qwen2LayerGolden : Qwen1B5 {
    static constexpr std::string_view name = "Qwen2LayerGolden";
    static constexpr Index vocabulary = 8;
    static constexpr Index layers = 1;
};

/// t2i_prompt_tiny
struct Qwen2PromptGolden : Qwen1B5 {
    static constexpr std::string_view name = "Qwen2PromptGolden";
    static constexpr Index vocabulary = 2304;
    static constexpr Index hidden = 96;
    static constexpr Index layers = 2;
    static constexpr Index heads = 6;
    static constexpr Index key_heads = 1;
    static constexpr Index mlp = 160;
};

/// t2i_chain_tiny: contexts as wide as the published ones.
struct Qwen2ChainGolden : Qwen2LayerGolden {
    static constexpr std::string_view name = "Qwen2ChainGolden";
    static constexpr Index vocabulary = 2304;
    static constexpr Index mlp = 64;
};

}  // namespace flowfar::testing
