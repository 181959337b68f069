#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

#include "flowfar/core/constexpr_math.hpp"
#include "flowfar/core/shape.hpp"
#include "flowfar/quantize/codebook.hpp"

namespace flowfar {

/// How guidance grows over the sampling steps; ρ = s/S for step s of S.
enum class MaskGitGuidance : std::uint8_t {
    constant,  ///< g
    linear,    ///< 1 + (g − 1)·ρ
    cosine     ///< 1 + (g − 1)·(1 − cos(π ρ^p))/2 (MaskBit, arXiv 2409.16211, whose printed scale is g − 1)
};

/// How a configuration is sampled unless the options say otherwise. The defaults are MaskBit's.
struct MaskGitSampling {
    int steps = 64;  ///< at most the number of positions
    double guidance = 6.7;
    MaskGitGuidance guidance_schedule = MaskGitGuidance::cosine;
    double guidance_power = 2.5;      ///< p of the cosine schedule
    double temperature = 1.0;         ///< of the tokens' distribution
    double choice_temperature = 8.5;  ///< of the noise that decides which positions stay
};

/// MaskGiT configurations are named types; derive from one to change a member. A position is one codeword: `tokens`
/// code tokens of `groups` codewords each, as a tokenizer gives them (`Tokens::length`, `per_token`). This one has 172M
/// parameters and generates FlowMo-Lo's tokens.
struct MaskGit172M {
    static constexpr std::string_view name = "MaskGit172M";
    static constexpr Index classes = 1000;
    static constexpr Index tokens = 256;
    static constexpr Index groups = 2;    ///< codewords per token, masked and filled independently
    using Codebook = BitCodebook<9>;      ///< Codebook<8, 8, 8> of finite scalar quantization, for example
    static constexpr Index hidden = 768;  ///< transformer width
    static constexpr Index heads = 12;
    static constexpr Index depth = 24;
    static constexpr MaskGitSampling sampling{};
};

/// 306M parameters, FlowMo-Lo's tokens.
struct MaskGit306M : MaskGit172M {
    static constexpr std::string_view name = "MaskGit306M";
    static constexpr Index hidden = 1024;
    static constexpr Index heads = 16;
};

/// 372M parameters, FlowMo-Hi's tokens: 256 of 4 × 14 bits.
struct MaskGit372M : MaskGit306M {
    static constexpr std::string_view name = "MaskGit372M";
    static constexpr Index groups = 4;
    using Codebook = BitCodebook<14>;
};

/// FlowMoTiny's tokens, ten classes: trains on a CPU within the hour.
struct MaskGitTiny : MaskGit172M {
    static constexpr std::string_view name = "MaskGitTiny";
    static constexpr Index classes = 10;
    static constexpr Index tokens = 32;
    static constexpr Index groups = 4;
    static constexpr Index hidden = 128;
    static constexpr Index heads = 4;
    static constexpr Index depth = 4;
    static constexpr MaskGitSampling sampling{.steps = 16, .guidance = 3.0, .choice_temperature = 4.5};
};

/// FlowMoNano's tokens, for tests that must end within seconds.
struct MaskGitNano : MaskGitTiny {
    static constexpr std::string_view name = "MaskGitNano";
    static constexpr Index tokens = 8;
    static constexpr Index groups = 2;
    static constexpr Index hidden = 32;
    static constexpr Index heads = 2;
    static constexpr Index depth = 1;
    static constexpr MaskGitSampling sampling{.steps = 8, .guidance = 3.0, .choice_temperature = 4.5};
};

/// 12 tokens of 2 × 4 bits: the size of the recorded numbers that tests compare with.
struct MaskGitMicro : MaskGitTiny {
    static constexpr std::string_view name = "MaskGitMicro";
    static constexpr Index tokens = 12;
    static constexpr Index groups = 2;
    using Codebook = BitCodebook<4>;
    static constexpr Index hidden = 64;
    static constexpr Index heads = 4;
    static constexpr Index depth = 3;
    static constexpr MaskGitSampling sampling{.steps = 8, .guidance = 3.0, .choice_temperature = 4.5};
};

/// The model of a configuration on a backend: maskgit/model.hpp.
template <class C, class B, class T = float>
class MaskGit;

/// Everything that a configuration must satisfy; instantiating it checks.
template <class C>
struct CheckedMaskGitConfig : C {
    static_assert(C::classes >= 1 && C::tokens >= 1 && C::groups >= 1 && C::depth >= 1,
                  "MaskGit: classes, tokens, groups and depth are positive");
    static_assert(C::hidden % C::heads == 0, "MaskGit: the number of heads must divide the hidden width");
    static constexpr Index positions = C::tokens * C::groups;  ///< (token, group), token-major
    static constexpr Index values = C::groups * C::Codebook::values;
    static constexpr Index codewords = C::Codebook::size;
    static_assert(C::sampling.steps >= 1 && C::sampling.steps <= positions,
                  "MaskGit: the sampling steps must lie between 1 and the number of positions");
};

/// How many of `positions` are hidden in training at a uniform draw r: ⌈N cos(π/2·r)⌉, at least 1 (arXiv 2202.04200).
[[nodiscard]] inline Index hidden_in_training(Index positions, double r) {
    return std::max<Index>(1,
                           static_cast<Index>(std::ceil(static_cast<double>(positions) * std::cos(cx::pi / 2.0 * r))));
}
/// How many are still hidden after sampling step `step` of `steps`, of which `current` were before: 0 after the last.
[[nodiscard]] inline Index hidden_after(Index positions, Index current, int step, int steps) {
    if (step + 1 == steps) {
        return 0;
    }
    const double angle = cx::pi / 2.0 * (step + 1) / steps;
    const auto scheduled = static_cast<Index>(std::floor(static_cast<double>(positions) * std::cos(angle)));
    return std::max<Index>(1, std::min(current - 1, scheduled));
}

}  // namespace flowfar
