#pragma once

#include <array>
#include <string_view>

#include "flowfar/core/shape.hpp"
#include "flowfar/quantize/fsq.hpp"
#include "flowfar/quantize/lfq.hpp"

namespace flowfar {

/// One of FlowMo's two transformers. `axes` splits a head's channels among code position, row and column (RoPE);
/// `mlp_ratio` is the MLPs' inner width over the hidden width.
struct MmditConfig {
    Index hidden;
    Index heads;
    Index depth;
    std::array<Index, 3> axes;
    double mlp_ratio = 4.0;

    [[nodiscard]] constexpr Index head_size() const { return hidden / heads; }
    /// Inner width of the MLPs, rounded down as in the reference.
    [[nodiscard]] constexpr Index mlp_width() const {
        return static_cast<Index>(static_cast<double>(hidden) * mlp_ratio);
    }
};

/// The reference's size rule: hidden 192·width, 12 heads, RoPE axes (2, 7, 7)·width; even widths only.
[[nodiscard]] constexpr MmditConfig mmdit_of_width(Index width, Index depth) {
    return {192 * width, 12, depth, {2 * width, 7 * width, 7 * width}};
}

/// FlowMo configurations are named types; derive from one to change a member. An image extent of `dyn` leaves it to
/// run time. The quantizer is LFQ with `codebook_bits` unless the configuration names another of quantize/ as
/// `Quantizer`, whatever its `codebook_bits`. Lo: 256 tokens of 18 bits, 0.0703 bits per pixel of a 256×256 image
/// (arXiv 2503.11056, table 1).
struct FlowMoLo {
    static constexpr std::string_view name = "FlowMoLo";
    static constexpr Index image_height = 256;
    static constexpr Index image_width = 256;
    static constexpr Index patch = 4;
    static constexpr Index code_length = 256;  ///< code tokens
    static constexpr Index context_dim = 18;   ///< values per code token; LFQ makes each ±1
    static constexpr Index codebook_bits = 9;  ///< values per LFQ codeword
    static constexpr MmditConfig encoder = mmdit_of_width(4, 8);
    static constexpr MmditConfig decoder = mmdit_of_width(6, 16);
};

/// Hi: 256 tokens of 56 bits, 0.2188 bits per pixel.
struct FlowMoHi : FlowMoLo {
    static constexpr std::string_view name = "FlowMoHi";
    static constexpr Index context_dim = 56;
    static constexpr Index codebook_bits = 14;
};

/// Lo and Hi with finite scalar quantization and as many codewords (the ablation of table 4; its levels are not
/// published).
struct FlowMoLoFsq : FlowMoLo {
    static constexpr std::string_view name = "FlowMoLoFsq";
    static constexpr Index context_dim = 6;
    using Quantizer = Fsq<8, 8, 8>;
};
struct FlowMoHiFsq : FlowMoHi {
    static constexpr std::string_view name = "FlowMoHiFsq";
    static constexpr Index context_dim = 20;
    using Quantizer = Fsq<8, 8, 8, 8, 4>;
};

/// The smaller published ablation model: patches of 8, decoder width 4.
struct FlowMoSmall : FlowMoLo {
    static constexpr std::string_view name = "FlowMoSmall";
    static constexpr Index patch = 8;
    static constexpr MmditConfig decoder = mmdit_of_width(4, 16);
};

/// A model that trains on a CPU within the hour: 32×32 photos, 32 tokens of 36 bits (144 bytes), 2.0M parameters.
struct FlowMoTiny {
    static constexpr std::string_view name = "FlowMoTiny";
    static constexpr Index image_height = 32;
    static constexpr Index image_width = 32;
    static constexpr Index patch = 4;
    static constexpr Index code_length = 32;
    static constexpr Index context_dim = 36;
    static constexpr Index codebook_bits = 9;
    static constexpr MmditConfig encoder{64, 2, 3, {8, 12, 12}};
    static constexpr MmditConfig decoder{112, 4, 3, {8, 10, 10}};
};

/// FlowMoTiny for 64×64 photos: 64 tokens of 36 bits (288 bytes).
struct FlowMoTiny64 : FlowMoTiny {
    static constexpr std::string_view name = "FlowMoTiny64";
    static constexpr Index image_height = 64;
    static constexpr Index image_width = 64;
    static constexpr Index code_length = 64;
};

/// For tests that must end within seconds: 16×16 photos, 8 tokens of 18 bits (18 bytes).
struct FlowMoNano {
    static constexpr std::string_view name = "FlowMoNano";
    static constexpr Index image_height = 16;
    static constexpr Index image_width = 16;
    static constexpr Index patch = 4;
    static constexpr Index code_length = 8;
    static constexpr Index context_dim = 18;
    static constexpr Index codebook_bits = 9;
    static constexpr MmditConfig encoder{32, 2, 1, {4, 6, 6}};
    static constexpr MmditConfig decoder{32, 2, 1, {4, 6, 6}};
};

/// The model of a configuration on a backend: flowmo/model.hpp.
template <class C, class B, class T = float>
class FlowMo;

namespace detail {

template <class C>
struct FlowMoQuantizer {
    static_assert(C::codebook_bits >= 1 && C::codebook_bits <= 24, "FlowMo: codebook bits must lie in 1..24");
    static_assert(C::context_dim % C::codebook_bits == 0, "FlowMo: the codebook bits must divide context_dim");
    using type = Lfq<C::codebook_bits>;
};
template <class C>
    requires requires { typename C::Quantizer; }
struct FlowMoQuantizer<C> {
    using type = typename C::Quantizer;
    static_assert(type::fits(C::context_dim), "FlowMo: the quantizer's values per codeword must divide context_dim");
};

}  // namespace detail

/// Everything that a configuration must satisfy; instantiating it checks.
template <class C>
struct CheckedFlowMoConfig : C {
    using Quantizer = typename detail::FlowMoQuantizer<C>::type;
    /// Bits per codeword and codewords per token; 0 for continuous codes.
    static constexpr Index codebook_bits = [] {
        if constexpr (Quantizer::discrete) {
            return Quantizer::Codebook::bits;
        } else {
            return Index{0};
        }
    }();
    static constexpr Index codewords_per_token = [] {
        if constexpr (Quantizer::discrete) {
            return C::context_dim / Quantizer::Codebook::values;
        } else {
            return Index{0};
        }
    }();
    static constexpr Index code_width = Quantizer::width(C::context_dim);  ///< values per token of the encoder's output
    static_assert(C::patch >= 1, "FlowMo: the patch size must be positive");
    static_assert(C::encoder.hidden % C::encoder.heads == 0 && C::decoder.hidden % C::decoder.heads == 0,
                  "FlowMo: the number of heads must divide the hidden width");
    static_assert(C::encoder.axes[0] + C::encoder.axes[1] + C::encoder.axes[2] == C::encoder.head_size() &&
                      C::decoder.axes[0] + C::decoder.axes[1] + C::decoder.axes[2] == C::decoder.head_size(),
                  "FlowMo: the RoPE axes must sum to the head size");
    static_assert(C::encoder.axes[0] % 2 == 0 && C::encoder.axes[1] % 2 == 0 && C::encoder.axes[2] % 2 == 0 &&
                      C::decoder.axes[0] % 2 == 0 && C::decoder.axes[1] % 2 == 0 && C::decoder.axes[2] % 2 == 0,
                  "FlowMo: every RoPE axis must be even");
    static_assert(C::encoder.mlp_width() >= 1 && C::decoder.mlp_width() >= 1, "FlowMo: the MLP ratio is too small");
    static_assert((C::image_height == dyn || C::image_height % C::patch == 0) &&
                      (C::image_width == dyn || C::image_width % C::patch == 0),
                  "FlowMo: the patch size must divide the image's height and width");
    static constexpr Index patch_dim = 3 * C::patch * C::patch;
    static constexpr Index image_tokens = C::image_height == dyn || C::image_width == dyn
                                              ? dyn
                                              : (C::image_height / C::patch) * (C::image_width / C::patch);
};

}  // namespace flowfar
