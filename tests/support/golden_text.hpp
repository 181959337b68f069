#pragma once

/// The text-to-image models that golden files were recorded with.

#include "flowfar/far/text/config.hpp"

namespace flowfar::testing {

/// far_t2i_tiny
struct FarTextGolden : FarText256 {
    static constexpr std::string_view name = "FarTextGolden";
    static constexpr Index side = 8;
    static constexpr Index hidden = 64;
    static constexpr Index heads = 1;
    static constexpr Index encoder_depth = 2;
    static constexpr Index decoder_depth = 2;
    static constexpr Index head_width = 64;
    static constexpr Index head_depth = 2;
};

/// far_t2i_tiny_b, t2i_chain_tiny: widths that differ, heads that are not hidden / heads wide.
struct FarTextGoldenB : FarTextGolden {
    static constexpr std::string_view name = "FarTextGoldenB";
    static constexpr Index side = 4;
    static constexpr Index hidden = 128;
    static constexpr Index heads = 2;
    static constexpr Index decoder_hidden = 64;
    static constexpr Index decoder_heads = 2;
    static constexpr Index context_tokens = 24;
    static constexpr Index encoder_depth = 1;
};

}  // namespace flowfar::testing
