#pragma once

/// The frequency pyramid: an image or latent low-passed to an increasing list of levels (arXiv 2503.05305, section 3).

#include <array>
#include <span>
#include <utility>
#include <vector>

#include "flowfar/core/memory_pool.hpp"
#include "flowfar/frequency/filter.hpp"

namespace flowfar {

namespace detail {

/// Position of the first level that is negative or not above its predecessor, or −1.
template <class List>
[[nodiscard]] constexpr Index first_bad_level(const List& levels) {
    Index before = -1;
    Index position = 0;
    for (const Index level : levels) {
        if (level <= before) {
            return position;
        }
        before = level;
        ++position;
    }
    return -1;
}

}  // namespace detail

/// A list of levels as a type: `Levels<0, 2, 3, 4>`.
template <Index... Level>
struct Levels {
    static_assert(sizeof...(Level) > 0, "Levels: at least one level is needed");
    static constexpr std::array<Index, sizeof...(Level)> values{Level...};
    static_assert(detail::first_bad_level(values) < 0, "Levels: levels must not be negative and must increase");
};

/// Throws `Error` naming the first level that is negative or not above its predecessor.
inline void check_levels(std::span<const Index> levels) {
    require(!levels.empty(), "levels: expected at least one level");
    const Index bad = detail::first_bad_level(levels);
    if (bad >= 0) {
        const Index value = levels[static_cast<std::size_t>(bad)];
        require(value >= 0, "levels: level ", bad, " is ", value, ", expected at least 0");
        fail("levels: level ", bad, " is ", value, ", expected more than ", levels[static_cast<std::size_t>(bad - 1)],
             ": levels must increase");
    }
}

/// Low-passes each sample of x [batch, channels, h, w] to its own level.
template <class Filter, AnyTensor X>
[[nodiscard]] X low_pass_each(const X& x, std::span<const Index> levels) {
    const Index batch = x.extent(0);
    require(static_cast<Index>(levels.size()) == batch, "low-pass: ", levels.size(), " levels for ", batch, " samples");
    if (batch == 0) {
        return x;
    }
    PoolVector<typename X::Handle> parts;
    for (Index begin = 0; begin < batch;) {
        Index end = begin + 1;
        while (end < batch && levels[static_cast<std::size_t>(end)] == levels[static_cast<std::size_t>(begin)]) {
            ++end;
        }
        const auto run = slice<0>(x, begin, end);
        parts.push_back(Filter::apply(run, levels[static_cast<std::size_t>(begin)]).handle());
        begin = end;
    }
    return parts.size() == 1 ? X(parts[0]) : X(X::Backend::concat(std::span<const typename X::Handle>(parts), 0));
}

/// A pyramid with levels known at compile time: `FrequencyPyramid<SpatialFilter, Levels<0, 2, 3, 4>>`.
template <class Filter, class LevelList>
struct FrequencyPyramid {
    static constexpr auto levels = LevelList::values;
    static constexpr std::size_t count = levels.size();

    /// x [batch, channels, h, w] at every level, lowest first.
    template <AnyTensor X>
    [[nodiscard]] static std::array<X, count> decompose(const X& x) {
        return [&]<std::size_t... I>(std::index_sequence<I...>) {
            return std::array<X, count>{Filter::apply(x, levels[I])...};
        }(std::make_index_sequence<count>{});
    }
};

/// The run-time twin of `FrequencyPyramid`.
template <class Filter>
class RuntimePyramid {
   public:
    /// Throws `Error` unless the levels increase.
    explicit RuntimePyramid(std::vector<Index> levels) : levels_(std::move(levels)) { check_levels(levels_); }
    template <Index First, Index... Rest>
    explicit RuntimePyramid(Levels<First, Rest...> /*levels*/) : levels_{First, Rest...} {}

    [[nodiscard]] const std::vector<Index>& levels() const { return levels_; }

    template <AnyTensor X>
    [[nodiscard]] std::vector<X> decompose(const X& x) const {
        std::vector<X> out;
        for (const Index level : levels_) {
            out.push_back(Filter::apply(x, level));
        }
        return out;
    }

   private:
    std::vector<Index> levels_;
};

}  // namespace flowfar
