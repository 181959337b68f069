#pragma once

// Text-to-image configurations of the programs: a FAR from text and the language model that reads its prompts.

#include "flowfar/far/text/config.hpp"
#include "flowfar/qwen2/config.hpp"

namespace flowfar::program {

/// The published pair.
struct FarTextQwen : FarText256 {
    static constexpr std::string_view name = "FarText256";
    using Reader = Qwen1B5;
};

/// For tests: 16×16 pixels as 4×4 tokens.
struct FarTextNano : FarText256 {
    static constexpr std::string_view name = "FarTextNano";
    static constexpr Index channels = 3;
    static constexpr Index patch = 4;
    static constexpr Index hidden = 32;
    static constexpr Index heads = 2;
    static constexpr Index head_size = 16;
    static constexpr Index context_width = 16;
    static constexpr Index encoder_depth = 1;
    static constexpr Index decoder_depth = 1;
    static constexpr Index head_width = 32;
    static constexpr Index head_depth = 1;

    struct Reader : Qwen1B5 {
        static constexpr std::string_view name = "QwenNano";
        static constexpr Index hidden = 16;
        static constexpr Index layers = 1;
        static constexpr Index heads = 2;
        static constexpr Index key_heads = 1;
        static constexpr Index mlp = 16;
    };
};

}  // namespace flowfar::program
