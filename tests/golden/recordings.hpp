#pragma once

/// The recorded cases, a line each: the name of its files and what it was recorded with. Another recording of a kind
/// that is here needs a line, CASE.safetensors and CASE.params.json in tests/golden or $FLOWFAR_GOLDEN_DIR, and nothing
/// else: numbers of samples and steps, overridden draws, and the suffix of fills are read from the file.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <string_view>
#include <vector>

#include "flowfar/far/config.hpp"
#include "flowfar/far/vae/config.hpp"
#include "flowfar/flowmo/config.hpp"
#include "flowfar/mar/config.hpp"
#include "flowfar/maskgit/config.hpp"
#include "flowfar/raster/config.hpp"
#include "flowfar/var/config.hpp"

#include "golden.hpp"

namespace flowfar::testing {

// What a line is made of.

template <std::size_t N>
struct Literal {
    char text[N];
    consteval Literal(const char (&from)[N]) { std::copy_n(from, N, text); }
};

/// The case NAME with configuration C; its parameters are listed in Parameters.params.json, where cases share a model.
template <Literal Name, class C, Literal Parameters = Name>
struct Recording {
    static constexpr const char* name = Name.text;
    static constexpr const char* parameters = Parameters.text;
    using Config = C;
};
template <class... R>
struct Recordings {
    /// check.operator()<Recording>() for each, as a subcase.
    template <class Check>
    static void each(Check&& check) {
        const auto one = [&]<class Each>() {
            SUBCASE(Each::name) {
                check.template operator()<Each>();
            }
        };
        (one.template operator()<R>(), ...);
    }
};

template <Index Height, Index Width, Index PatchSize>
struct Pixels {
    static constexpr Index height = Height, width = Width, patch = PatchSize;
};
template <Index Length, Index Values, Index Bits>
struct Code {
    static constexpr Index length = Length, values = Values, bits = Bits;
};
/// A transformer by the reference's rule: hidden 16·heads·width, axes (2, 7, 7)·width.
template <Index Heads, Index Width, Index Depth, Index MlpPercent = 400>
struct Wide {
    static constexpr MmditConfig config{
        16 * Heads * Width, Heads, Depth, {2 * Width, 7 * Width, 7 * Width}, static_cast<double>(MlpPercent) / 100.0};
};
template <class Picture, class Tokens, class Encoder, class Decoder>
struct RecordedFlowMo {
    static constexpr std::string_view name = "RecordedFlowMo";
    static constexpr Index image_height = Picture::height;
    static constexpr Index image_width = Picture::width;
    static constexpr Index patch = Picture::patch;
    static constexpr Index code_length = Tokens::length;
    static constexpr Index context_dim = Tokens::values;
    static constexpr Index codebook_bits = Tokens::bits;
    static constexpr MmditConfig encoder = Encoder::config;
    static constexpr MmditConfig decoder = Decoder::config;
};

template <Index Channels, Index Height, Index Width, Index PatchSize = 1>
struct Latent {
    static constexpr Index channels = Channels, height = Height, width = Width, patch = PatchSize;
};
/// Hidden width, depth and heads of a stack of ViT blocks.
template <Index Hidden, Index Depth, Index Heads>
struct Blocks {
    static constexpr Index hidden = Hidden, depth = Depth, heads = Heads;
};
/// Depth and width of the diffusion MLP.
template <Index Depth, Index Width>
struct Denoiser {
    static constexpr Index depth = Depth, width = Width;
};
template <class Grid, Index Buffer, class Encoder, class Decoder, class Mlp, bool IsMasked = false,
          Index MlpPercent = 400>
struct RecordedFar : FarB {
    static constexpr std::string_view name = "RecordedFar";
    static constexpr Index channels = Grid::channels;
    static constexpr Index height = Grid::height;
    static constexpr Index width = Grid::width;
    static constexpr Index patch = Grid::patch;
    static constexpr Index buffer = Buffer;
    static constexpr Index hidden = Encoder::hidden;
    static constexpr Index heads = Encoder::heads;
    static constexpr Index encoder_depth = Encoder::depth;
    static constexpr Index decoder_hidden = Decoder::hidden;
    static constexpr Index decoder_heads = Decoder::heads;
    static constexpr Index decoder_depth = Decoder::depth;
    static constexpr Index head_depth = Mlp::depth;
    static constexpr Index head_width = Mlp::width;
    static constexpr bool masked = IsMasked;
    static constexpr double mlp_ratio = static_cast<double>(MlpPercent) / 100.0;
};
/// A diffusion head alone: channels of a token, width of z, and its MLP.
template <Index Channels, Index Condition, class Mlp>
struct RecordedHead {
    static constexpr Index channels = Channels, condition = Condition, depth = Mlp::depth, width = Mlp::width;
};
template <Index Width>
struct RecordedVae : Kl16 {
    static constexpr std::string_view name = "RecordedVae";
    static constexpr Index width = Width;
};
/// FlowMo's parts: a block of `Hidden` and `Heads` with rotary axes A, B, C, on Codes code tokens and Rows × Columns
/// patches; two further rotary tables, of widths First and Second.
template <Index Hidden, Index Heads, Index A, Index B, Index C, Index Codes, Index Rows, Index Columns, Index PatchSize,
          Index First, Index Second>
struct RecordedParts {
    static constexpr Index hidden = Hidden, heads = Heads, head_size = Hidden / Heads,
                           patch_dim = 3 * PatchSize * PatchSize;
    static constexpr Index codes = Codes, rows = Rows, columns = Columns, first = First, second = Second;
    static constexpr std::array<Index, 3> axes{A, B, C};

    /// Code token n at (n, n, n), then the patch in row r and column c at (0, r, c).
    [[nodiscard]] static std::vector<std::array<Index, 3>> positions() {
        std::vector<std::array<Index, 3>> out;
        for (Index n = 0; n < codes; ++n) {
            out.push_back({n, n, n});
        }
        for (Index n = 0; n < rows * columns; ++n) {
            out.push_back({0, n / columns, n % columns});
        }
        return out;
    }
};

// The configurations that several cases share.

// clang-format off
using TinyA = RecordedFlowMo<Pixels<32, 32, 4>, Code<16, 18, 9>, Wide<12, 2, 2>, Wide<12, 2, 3>>;
using TinyB = RecordedFlowMo<Pixels<64, 64, 4>, Code<16, 56, 14>, Wide<12, 2, 2>, Wide<12, 4, 2>>;
using Micro = RecordedFlowMo<Pixels<32, 32, 4>, Code<16, 18, 9>, Wide<2, 2, 2>, Wide<2, 4, 2>>;

// The cases by kind.

using FlowMoUnits = Recordings<
    Recording<"flowmo_units", RecordedParts<64, 2, 4, 14, 14, 16, 8, 8, 4, 2, 6>>>;
using FlowMoEncoders = Recordings<
    Recording<"flowmo_tiny_encode_a", TinyA>,
    Recording<"flowmo_tiny_encode_b", TinyB>,
    Recording<"flowmo_mlp", RecordedFlowMo<Pixels<8, 12, 4>, Code<3, 6, 3>, Wide<2, 2, 2, 250>, Wide<2, 2, 1, 150>>>>;  // record_own.py
using FlowMoDecoders = Recordings<
    Recording<"flowmo_tiny_decode_a", TinyA, "flowmo_tiny_encode_a">,
    Recording<"flowmo_tiny_decode_b", TinyB, "flowmo_tiny_encode_b">>;
using FlowMoQuantizers = Recordings<
    Recording<"flowmo_tiny_quantize_a", TinyA>,
    Recording<"flowmo_tiny_quantize_b", TinyB>>;
using FlowMoReconstructions = Recordings<
    Recording<"flowmo_tiny_reconstruct_a", TinyA, "flowmo_tiny_encode_a">,
    Recording<"flowmo_tiny_reconstruct_b", TinyB, "flowmo_tiny_encode_b">>;
using FlowMoTrainings = Recordings<  // with CASE_grads and CASE_params_after1
    Recording<"flowmo_micro_train", Micro, "flowmo_micro_train_accum2">>;
using FlowMoAccumulations = Recordings<
    Recording<"flowmo_micro_train_accum2", Micro>>;
using FlowMoGradientStatistics = Recordings<
    Recording<"flowmo_tiny_train_gradstats", TinyA, "flowmo_tiny_encode_a">>;
using FlowMoPosttrainings = Recordings<  // gradients of all parameters, if there are any, in CASE_grads without _nocfg
    Recording<"flowmo_micro_posttrain_nocfg", Micro>,
    Recording<"flowmo_micro_posttrain_cfg", Micro>>;
using FarTransformers = Recordings<  // with sampling, training and CASE_grads
    Recording<"far_tiny_nomask", RecordedFar<Latent<16, 16, 16>, 8, Blocks<64, 2, 4>, Blocks<64, 2, 4>, Denoiser<2, 64>>>,
    Recording<"far_tiny_mask", RecordedFar<Latent<16, 16, 16>, 8, Blocks<64, 2, 4>, Blocks<64, 2, 4>, Denoiser<2, 64>, true>>>;
using FarTransformersAlone = Recordings<  // encoder and decoder: record_own.py
    Recording<"far_oblong", RecordedFar<Latent<3, 4, 6, 2>, 2, Blocks<24, 2, 3>, Blocks<16, 1, 2>, Denoiser<1, 8>, true, 250>>>;
using FarFullSizes = Recordings<
    Recording<"far_base_full", FarB>>;
using MarModels = Recordings<  // this and the next with sampling, training and CASE_grads
    Recording<"mar_tiny", MarTiny>>;
using RasterModels = Recordings<
    Recording<"raster_tiny", RasterTiny>>;
using VarModels = Recordings<
    Recording<"var_residual_tiny", VarTiny>,
    Recording<"var_direct_tiny", Direct<VarTiny>>>;
using FarHeads = Recordings<
    Recording<"diffloss_tiny", RecordedHead<16, 48, Denoiser<3, 64>>>>;
using FarAutoencoders = Recordings<
    Recording<"vae_kl16_tiny", RecordedVae<32>>>;
using MaskGits = Recordings<  // with sampling, training and CASE_grads
    Recording<"maskgit_tiny", MaskGitMicro>>;
// clang-format on

/// How many tokens a FAR case hides in training and evaluation.
[[nodiscard]] inline Index recorded_hidden(const Golden& golden, Index tokens) {
    return static_cast<Index>(std::ceil(static_cast<double>(tokens) * golden.number("rate")));
}

}  // namespace flowfar::testing
