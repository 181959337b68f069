#pragma once

/// Sampling with fewer steps than a DDPM process was trained with: which steps to keep, and the process that visits
/// only those. Rules of the published implementation, so that step numbers agree exactly.

#include <array>
#include <charconv>
#include <cstddef>
#include <initializer_list>
#include <span>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "flowfar/core/constexpr_math.hpp"
#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"
#include "flowfar/diffusion/gaussian.hpp"

namespace flowfar {

namespace detail {

/// Length of section `index` out of `sections`: the first (steps mod sections) are one step longer.
[[nodiscard]] constexpr Index section_size(Index steps, std::size_t sections, std::size_t index) {
    const Index count = static_cast<Index>(sections);
    return steps / count + (static_cast<Index>(index) < steps % count ? 1 : 0);
}

/// Calls `keep(step)` for the `counts[i]` steps of each section: start + round(k (size - 1) / (count - 1)). The stride
/// is accumulated by addition and rounded half to even, as the published step numbers were.
template <class Counts, class Keep>
constexpr void each_spaced_step(Index steps, const Counts& counts, Keep keep) {
    Index start = 0;
    for (std::size_t section = 0; section < counts.size(); ++section) {
        const Index size = section_size(steps, counts.size(), section);
        const double gaps = static_cast<double>(counts[section] - 1);
        const double stride = counts[section] > 1 ? static_cast<double>(size - 1) / gaps : 1.0;
        double position = 0;
        for (Index k = 0; k < counts[section]; ++k) {
            keep(start + static_cast<Index>(cx::round_even(position)));
            position += stride;
        }
        start += size;
    }
}

template <class Counts>
[[nodiscard]] constexpr bool sections_fit(Index steps, const Counts& counts) {
    bool fit = counts.size() > 0 && static_cast<Index>(counts.size()) <= steps;
    for (std::size_t i = 0; fit && i < counts.size(); ++i) {
        fit = counts[i] >= 1 && counts[i] <= section_size(steps, counts.size(), i);
    }
    return fit;
}

template <class Process, int... Counts>
struct SpacedSource {
    static constexpr std::array<Index, sizeof...(Counts)> counts{Counts...};
    static constexpr bool fits = sections_fit(Process::steps, counts);
    static_assert(fits, "Spaced: every section needs at least one step and no more steps than it was trained with");

    static constexpr std::size_t total = fits ? static_cast<std::size_t>((Counts + ... + 0)) : 1;
    /// Positions in `Process`.
    static constexpr auto kept = [] {
        std::array<Index, total> out{};
        if constexpr (fits) {
            std::size_t i = 0;
            each_spaced_step(Process::steps, counts, [&](Index step) { out[i++] = step; });
        }
        return out;
    }();
    static constexpr auto timestep_map = [] {
        std::array<Index, total> out{};
        for (std::size_t i = 0; i < total; ++i) {
            out[i] = Process::timestep_map[static_cast<std::size_t>(kept[i])];
        }
        return out;
    }();
    static constexpr auto betas = spaced_betas(kept, Process::alphas_cumprod, std::array<double, total>{});
};

}  // namespace detail

/// `Process` reduced to `Counts...` steps, one count for each of sizeof...(Counts) equal sections:
/// `Spaced<Ddpm<1000, Cosine>, 100>`. Asking for more steps than were trained does not compile.
template <class Process, int... Counts>
struct Spaced : DdpmTables<detail::SpacedSource<Process, Counts...>> {};

/// The kept steps, increasing, when the process of `steps` steps is cut into equal sections with `counts[i]` kept steps
/// each. Throws `Error` if a count is below 1 or above its section's size.
[[nodiscard]] inline std::vector<Index> spaced_steps(int steps, std::span<const Index> counts) {
    require(steps >= 1, "spaced_steps: expected a process of at least 1 step, found ", steps);
    require(!counts.empty() && counts.size() <= static_cast<std::size_t>(steps), "spaced_steps: ", counts.size(),
            " sections in ", steps, " steps");
    for (std::size_t i = 0; i < counts.size(); ++i) {
        const Index size = detail::section_size(steps, counts.size(), i);
        require(counts[i] >= 1 && counts[i] <= size, "spaced_steps: section ", i, " has ", size, " steps, cannot keep ",
                counts[i]);
    }
    std::vector<Index> out;
    detail::each_spaced_step(steps, counts, [&](Index step) { out.push_back(step); });
    return out;
}

[[nodiscard]] inline std::vector<Index> spaced_steps(int steps, std::initializer_list<Index> counts) {
    return spaced_steps(steps, std::span<const Index>(counts.begin(), counts.size()));
}

namespace detail {

[[nodiscard]] inline Index parse_step_count(std::string_view digits, std::string_view specification) {
    Index value = 0;
    const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    require(!digits.empty() && status == std::errc() && end == digits.data() + digits.size(), "spaced_steps: \"",
            digits, "\" in \"", specification, "\" is not a number of steps");
    return value;
}

}  // namespace detail

/// Steps by a text: "100" (one section), "10,15,20" (three sections), "ddim50" (the first integer stride that gives
/// exactly 50 steps, from step 0 on), "" (all steps). Throws `Error` for anything else and for impossible counts.
[[nodiscard]] inline std::vector<Index> spaced_steps(int steps, std::string_view specification) {
    require(steps >= 1, "spaced_steps: expected a process of at least 1 step, found ", steps);
    if (specification.empty()) {
        return spaced_steps(steps, {Index{steps}});
    }
    if (specification.starts_with("ddim")) {
        const Index wanted = detail::parse_step_count(specification.substr(4), specification);
        for (Index stride = 1; stride <= steps; ++stride) {
            if ((steps + stride - 1) / stride == wanted) {
                std::vector<Index> out;
                for (Index step = 0; step < steps; step += stride) {
                    out.push_back(step);
                }
                return out;
            }
        }
        fail("spaced_steps: no integer stride gives exactly ", wanted, " of ", steps, " steps");
    }
    std::vector<Index> counts;
    for (std::string_view rest = specification;;) {
        const std::size_t comma = rest.find(',');
        counts.push_back(detail::parse_step_count(rest.substr(0, comma), specification));
        if (comma == std::string_view::npos) {
            return spaced_steps(steps, counts);
        }
        rest.remove_prefix(comma + 1);
    }
}

/// The process that visits only the steps `kept` of `base` (increasing positions in `base`): `Spaced` at run time. Its
/// `timestep_map` still shows the network the step numbers it was trained with. Throws `Error` for an empty, unordered
/// or out-of-range selection.
[[nodiscard]] inline DdpmSchedule respace(const DdpmSchedule& base, std::span<const Index> kept) {
    require(!kept.empty(), "respace: no step is kept");
    std::vector<Index> map;
    for (std::size_t i = 0; i < kept.size(); ++i) {
        require(kept[i] >= (i == 0 ? 0 : kept[i - 1] + 1) && kept[i] < base.steps(), "respace: kept step ", i, " is ",
                kept[i], ", expected increasing numbers below ", base.steps());
        map.push_back(base.timestep_map[static_cast<std::size_t>(kept[i])]);
    }
    return {detail::spaced_betas(kept, base.alphas_cumprod, std::vector<double>(kept.size())), std::move(map)};
}

/// `respace` with a text such as "100" or "ddim50", see `spaced_steps`.
[[nodiscard]] inline DdpmSchedule respace(const DdpmSchedule& base, std::string_view specification) {
    return respace(base, spaced_steps(base.steps(), specification));
}

}  // namespace flowfar
