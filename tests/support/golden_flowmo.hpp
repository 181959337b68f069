#pragma once

/// The FlowMo models that golden files were recorded with.

#include "flowfar/flowmo/config.hpp"

namespace flowfar::testing {

/// flowmo_tiny_*_a: 12 heads of 32, 64 image tokens.
struct TinyA : FlowMoLo {
    static constexpr std::string_view name = "TinyA";
    static constexpr Index image_height = 32;
    static constexpr Index image_width = 32;
    static constexpr Index code_length = 16;
    static constexpr MmditConfig encoder = mmdit_of_width(2, 2);
    static constexpr MmditConfig decoder = mmdit_of_width(2, 3);
};

/// flowmo_tiny_*_b: 56 values per token, encoder and decoder of different width.
struct TinyB : FlowMoHi {
    static constexpr std::string_view name = "TinyB";
    static constexpr Index image_height = 64;
    static constexpr Index image_width = 64;
    static constexpr Index code_length = 16;
    static constexpr MmditConfig encoder = mmdit_of_width(2, 2);
    static constexpr MmditConfig decoder = mmdit_of_width(4, 2);
};

/// flowmo_micro_*: two heads, so that all gradients fit into a file.
struct Micro : TinyA {
    static constexpr std::string_view name = "Micro";
    static constexpr MmditConfig encoder{64, 2, 2, {4, 14, 14}};
    static constexpr MmditConfig decoder{128, 2, 2, {8, 28, 28}};
};

}  // namespace flowfar::testing
