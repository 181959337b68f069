#pragma once

#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "flowfar/core/tensor.hpp"

namespace flowfar {

/// cos and sin of rotary embeddings (Su et al. 2021), [tokens, head size / 2] each.
template <class B, Index HeadSize, class T = float>
struct RopeTable {
    Tensor<B, Shape<dyn, HeadSize / 2>, T> cos;
    Tensor<B, Shape<dyn, HeadSize / 2>, T> sin;
};

/// Rotary angles over several axes: the head's channels are split by `axes` (each even, sum = HeadSize); pair k of an
/// axis of size D turns by id·10000^(−2k/D). `ids` holds one position per token and axis. Angles are computed in
/// double, their cos and sin rounded to float whatever T, as the published models do.
template <class B, Index HeadSize, class T, std::size_t N>
[[nodiscard]] RopeTable<B, HeadSize, T> rope_table(const std::array<Index, N>& axes,
                                                   std::span<const std::array<Index, N>> ids) {
    std::vector<T> cosines;
    std::vector<T> sines;
    cosines.reserve(ids.size() * HeadSize / 2);
    sines.reserve(cosines.capacity());
    for (const std::array<Index, N>& id : ids) {
        for (std::size_t axis = 0; axis < N; ++axis) {
            for (Index k = 0; k < axes[axis] / 2; ++k) {
                const double exponent = -2.0 * static_cast<double>(k) / static_cast<double>(axes[axis]);
                const double angle = static_cast<double>(id[axis]) * std::pow(10000.0, exponent);
                cosines.push_back(static_cast<T>(static_cast<float>(std::cos(angle))));
                sines.push_back(static_cast<T>(static_cast<float>(std::sin(angle))));
            }
        }
    }
    using Table = Tensor<B, Shape<dyn, HeadSize / 2>, T>;
    const Extents extents{static_cast<Index>(ids.size()), HeadSize / 2};
    return {Table::from_host(cosines, extents), Table::from_host(sines, extents)};
}

}  // namespace flowfar
