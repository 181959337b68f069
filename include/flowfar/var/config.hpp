#pragma once

#include <array>
#include <string_view>

#include "flowfar/autoregressive/causal_model.hpp"
#include "flowfar/frequency/pyramid.hpp"

namespace flowfar {

/// Configurations of next-scale prediction with continuous tokens (arXiv 2503.05305, table 4; VAR: 2404.02905). A token
/// is a value of a scaled latent, so there are no patches. 207.7M parameters, 680 tokens, 256×256 images in the latent
/// space of the KL-16 autoencoder.
struct VarB : CausalConfig {
    static constexpr std::string_view name = "VarB";
    using Scales = Levels<1, 2, 3, 4, 5, 6, 8, 10, 13, 16>;  ///< tokens per side; the last one is the latent's side
    static constexpr bool residual = true;  ///< scales add up; off: every scale is the whole latent, made smaller
    static constexpr TokenSampling sampling{.temperature_schedule = TemperatureSchedule::constant};
};

/// Small enough for tests: 8×8 latents of 16 channels in five scales, ten classes.
struct VarTiny : VarB {
    static constexpr std::string_view name = "VarTiny";
    using Scales = Levels<1, 2, 3, 5, 8>;
    static constexpr Index classes = 10;
    static constexpr Index side = 8;
    static constexpr Index buffer = 2;
    static constexpr Index hidden = 64;
    static constexpr Index heads = 4;
    static constexpr Index depth = 3;
    static constexpr Index head_width = 64;
    static constexpr Index head_depth = 2;
};

/// A configuration whose scales do not add up. The parameters are the same.
template <class C>
struct Direct : C {
    static constexpr bool residual = false;
};

namespace detail {

template <class C>
inline constexpr Index var_tokens = [] {
    Index count = 0;
    for (const Index side : C::Scales::values) {
        count += side * side;
    }
    return count;
}();

}  // namespace detail

/// All tokens of all scales, one scale after another, each in raster order.
template <class C>
struct CheckedVarConfig : CheckedCausalConfig<C, detail::var_tokens<C>, detail::var_tokens<C>> {
    using Base = CheckedTokenConfig<C>;
    static constexpr auto scales = C::Scales::values;
    static_assert(C::patch == 1, "VAR: a token is a value of a scaled latent; the patch size is 1");
    static_assert(Base::height == Base::width, "VAR: latents are squares");
    static_assert(scales.front() >= 1 && scales.back() == Base::height,
                  "VAR: scales begin at 1 or more and end with the latent's side");
    static_assert(C::buffer >= 1, "VAR: the class needs at least one buffer position");

    /// Where the tokens of scale k begin; of the number of scales: how many tokens there are.
    [[nodiscard]] static constexpr Index first(std::size_t k) {
        Index begin = 0;
        for (std::size_t i = 0; i < k; ++i) {
            begin += scales[i] * scales[i];
        }
        return begin;
    }
    /// The ends of the blocks of attention: the buffer, then the scales.
    static constexpr auto block_ends = [] {
        std::array<Index, scales.size() + 1> ends{};
        for (std::size_t k = 0; k <= scales.size(); ++k) {
            ends[k] = C::buffer + first(k);
        }
        return ends;
    }();
};

/// The model of a configuration on a backend: var/model.hpp.
template <class C, class B, class T = float>
class Var;

}  // namespace flowfar
