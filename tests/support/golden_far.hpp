#pragma once

/// The FAR models that golden files were recorded with.

#include "flowfar/far/config.hpp"

namespace flowfar::testing {

/// far_tiny_nomask: width 64, two blocks each, 8 buffer positions.
struct FarTinyGolden : FarB {
    static constexpr std::string_view name = "FarTinyGolden";
    static constexpr Index buffer = 8;
    static constexpr Index hidden = 64;
    static constexpr Index heads = 4;
    static constexpr Index encoder_depth = 2;
    static constexpr Index decoder_depth = 2;
    static constexpr Index head_width = 64;
    static constexpr Index head_depth = 2;
};

}  // namespace flowfar::testing
