#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "flowfar/far/config.hpp"
#include "flowfar/frequency/pyramid.hpp"

namespace flowfar {

/// The published levels of masked sampling, for latents of 16 levels. They do not increase: the only list that is
/// exempt from that rule.
[[nodiscard]] inline std::vector<Index> published_masked_levels() {
    return {0, 12, 12, 4, 5, 6, 7, 8, 9, 10, 11};
}

/// The levels that configuration C is sampled at unless told otherwise: C::Sampling, as far as the latent has them, or
/// the published ones of masked sampling where they fit.
template <class C>
[[nodiscard]] std::vector<Index> default_levels() {
    constexpr Index count = CheckedFarConfig<C>::level_limit;
    if (C::masked && count == 16 && !C::sampling.filter_first) {  // those of classes
        return published_masked_levels();
    }
    std::vector<Index> out;
    for (const Index level : C::Sampling::values) {
        if (level < count) {
            out.push_back(level);
        }
    }
    return out;
}

/// Levels for any number of autoregressive steps, 1 to `side`: from 0 to ¾ of the latent's shorter side (further where
/// that has too few), their distances growing linearly, because what is wrong at a low level stays wrong.
[[nodiscard]] inline std::vector<Index> spread_levels(Index side, Index count) {
    require(count >= 1 && count <= side, "levels: expected 1 to ", side, " autoregressive steps, found ", count);
    const Index last = std::max(side * 3 / 4, count - 1);
    std::vector<Index> out{0};
    for (Index k = 1; k < count; ++k) {
        const double share = static_cast<double>(k) / static_cast<double>(count - 1);
        const auto level = static_cast<Index>(std::lround(static_cast<double>(last) * share * share));
        out.push_back(std::clamp(level, out.back() + 1, last - (count - 1 - k)));
    }
    return out;
}

/// Throws `Error` unless the levels increase within 0 … side − 1, the shorter side's, or are the published masked list.
inline void check_far_levels(const std::vector<Index>& levels, Index side, bool masked) {
    if (masked && side == 16 && levels == published_masked_levels()) {
        return;
    }
    check_levels(levels);
    require(levels.back() < side, "levels: level ", levels.size() - 1, " is ", levels.back(), ", expected at most ",
            side - 1);
}

}  // namespace flowfar
