#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/far/config.hpp"

namespace flowfar {

// Coherent draws. FAR draws the tokens of an autoregressive step independently and keeps the low frequencies of the
// result alone. A mean of N independent draws has 1/√N of their spread, so colors and layouts come out nearly the same
// in every sample of a class. With a share ρ the noise of a token is √ρ · (noise of its cell) + √(1 − ρ) · (its own):
// each token still sees N(0, I), and only the correlation between tokens changes. Cells are as fine as the frequencies
// that the next step keeps, and their grid moves at random with every draw, so that no border stays.

/// Tokens per side of a cell in a step whose result is low-passed at `level`, where the token grid's shorter side is
/// `side`: as many cells as that side has waves, in powers of two; at least one token.
[[nodiscard]] constexpr Index coherent_cell(Index level, Index side) {
    Index cells = 1;
    while (2 * cells <= level && 2 * cells <= side) {
        cells *= 2;
    }
    return (side + cells - 1) / cells;
}

/// The share of a step whose result is low-passed at `level`, from a configuration's table: linear between its
/// entries, constant beyond them; 0 without a table.
[[nodiscard]] inline double coherent_share(std::span<const LevelShare> table, Index level) {
    if (table.empty()) {
        return 0.0;
    }
    if (level <= table.front().level) {
        return table.front().share;
    }
    for (std::size_t i = 1; i < table.size(); ++i) {
        const LevelShare& from = table[i - 1];
        const LevelShare& to = table[i];
        if (level <= to.level) {
            const double way = static_cast<double>(level - from.level) / static_cast<double>(to.level - from.level);
            return from.share + way * (to.share - from.share);
        }
    }
    return table.back().share;
}

/// The shares of a run: `given` holds one for all steps, one per step but the last, or none (no coherence). The last
/// step keeps all frequencies and draws every token on its own. Throws `Error` for other counts and shares outside
/// [0, 1].
[[nodiscard]] inline std::vector<double> coherent_shares(std::span<const double> given, std::size_t steps) {
    require(given.empty() || given.size() == 1 || given.size() + 1 == steps, "coherence: expected one share, or ",
            steps - 1, " (one per autoregressive step but the last), found ", given.size());
    for (const double share : given) {
        require(share >= 0.0 && share <= 1.0, "coherence: expected a share from 0 to 1, found ", share);
    }
    std::vector<double> shares(steps, 0.0);
    for (std::size_t k = 0; k + 1 < steps && !given.empty(); ++k) {
        shares[k] = given.size() == 1 ? given[0] : given[k];
    }
    return shares;
}

}  // namespace flowfar
