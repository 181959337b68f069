#pragma once

/// Random decisions of data pipelines as pure functions of their coordinates, so that any part of a stream can be
/// recomputed without the parts before it.

#include <cstdint>
#include <string_view>

#include "flowfar/core/dtype.hpp"
#include "flowfar/core/philox.hpp"

namespace flowfar::io {

/// `bits` scaled to 0 .. count - 1; the bias is below count / 2^32.
[[nodiscard]] constexpr Index pick_below(std::uint64_t bits, Index count) {
    const std::uint64_t high = bits >> 32;
    const auto n = static_cast<std::uint64_t>(count);
    return static_cast<Index>(n >> 31 == 0 ? (high * n) >> 32 : bits % n);
}

/// Element `position` (0 .. count - 1) of a random permutation of 0 .. count - 1 chosen by `key`, in constant memory: a
/// Feistel network permutes the next power of four, and results outside the range are sent through it again.
[[nodiscard]] constexpr Index shuffled_index(std::uint64_t key, Index position, Index count) {
    unsigned half = 1;
    while (half < 31 && (Index{1} << (2 * half)) < count) {
        ++half;
    }
    const std::uint64_t mask = (std::uint64_t{1} << half) - 1;
    auto value = static_cast<std::uint64_t>(position);
    do {
        std::uint64_t left = value >> half;
        std::uint64_t right = value & mask;
        constexpr std::uint64_t rounds = 8;
        for (std::uint64_t round = 0; round < rounds; ++round) {
            const std::uint64_t swapped = left ^ (fold(fold(key, round), right) & mask);
            left = right;
            right = swapped;
        }
        value = (left << half) | right;
    } while (value >= static_cast<std::uint64_t>(count));
    return static_cast<Index>(value);
}

/// An endless stream of samples of `count` things: in every epoch the first `per_epoch` of a new order, or of their own
/// order without `shuffle`. What is drawn for a sample depends on (seed, sample, purpose) alone.
struct SampleStream {
    std::uint64_t seed = 0;
    Index count = 1;
    Index per_epoch = 1;
    bool shuffle = true;

    /// Which of the things is sample 0, 1, …
    [[nodiscard]] Index index_of(std::uint64_t sample) const {
        const auto each = static_cast<std::uint64_t>(per_epoch);
        const auto place = static_cast<Index>(sample % each);
        return shuffle ? shuffled_index(fold(fold(seed, "order"), sample / each), place, count) : place;
    }
    /// A number in 0 … below − 1.
    [[nodiscard]] Index draw(std::string_view purpose, std::uint64_t sample, Index below) const {
        return pick_below(fold(fold(seed, purpose), sample), below);
    }
};

}  // namespace flowfar::io
