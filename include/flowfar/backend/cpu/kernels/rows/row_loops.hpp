#pragma once

#include <algorithm>
#include <array>

#include "flowfar/backend/cpu/runtime/instruction_set.hpp"
#include "flowfar/backend/cpu/runtime/thread_pool.hpp"
#include "flowfar/backend/rows.hpp"

namespace flowfar::cpu {

/// Elements that one task of an elementwise loop should have at least.
inline constexpr Index elementwise_grain = 16384;

/// Whether these are the strides of a row; comparing arrays would call memcmp for every row.
template <std::size_t N>
[[nodiscard]] constexpr bool are(const std::array<Index, N>& strides, const std::array<Index, N>& expected) {
    bool equal = true;
    for (std::size_t i = 0; i < N; ++i) {
        equal = equal && strides[i] == expected[i];
    }
    return equal;
}

/// Calls `f(offsets)` for all rows of N merged views, in parallel.
template <std::size_t N, class F>
void parallel_rows(const Extents& extents, const std::array<const Layout*, N>& layouts, F&& f) {
    const Index length = std::max<Index>(extents.rank() == 0 ? 1 : extents.back(), 1);
    const Index grain = std::max<Index>(1, elementwise_grain / length);
    parallel_for(row_count(extents), grain, [&](Index begin, Index end) {
        for_each_row<N>(extents, layouts, begin, end, [&](Index, const auto& offsets) { f(offsets); });
    });
}

/// out[i] = f(in[i]…) over contiguous memory, f being marked always_inline (see with_instructions).
template <class F>
void parallel_elements(Index count, F&& f) {
    parallel_for(count, elementwise_grain, [&](Index begin, Index end) {
        with_instructions([&]() __attribute__((always_inline)) {
            for (Index i = begin; i < end; ++i) {
                f(i);
            }
        });
    });
}

}  // namespace flowfar::cpu
