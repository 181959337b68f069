#pragma once

#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"

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

/// Rotary angles of Qwen2 and its relatives: position · base^(−2i/HeadSize), rounded to float at every step, as the
/// published models do.
template <class B, Index HeadSize, class T = float>
[[nodiscard]] RopeTable<B, HeadSize, T> rope_half_table(std::span<const Index> positions, double base) {
    std::vector<T> cosines;
    std::vector<T> sines;
    for (const Index position : positions) {
        for (Index i = 0; i < HeadSize / 2; ++i) {
            const float exponent = static_cast<float>(2 * i) / static_cast<float>(HeadSize);
            const float frequency = 1.0F / static_cast<float>(std::pow(base, static_cast<double>(exponent)));
            const double angle = static_cast<double>(static_cast<float>(position) * frequency);
            cosines.push_back(static_cast<T>(static_cast<float>(std::cos(angle))));
            sines.push_back(static_cast<T>(static_cast<float>(std::sin(angle))));
        }
    }
    using Table = Tensor<B, Shape<dyn, HeadSize / 2>, T>;
    const Extents extents{static_cast<Index>(positions.size()), HeadSize / 2};
    return {Table::from_host(cosines, extents), Table::from_host(sines, extents)};
}

/// Rotates the halves of the last axis against each other: (a, b) → (a cos − b sin, b cos + a sin), a and b the first
/// and the second half of x [batch, heads, tokens, D]; cos and sin [tokens, D/2].
template <AnyTensor X, AnyTensor Angles>
[[nodiscard]] X rope_halves(const X& x, const Angles& cosines, const Angles& sines) {
    constexpr Index half = X::Shape::at(3) / 2;
    static_assert(X::Shape::at(3) == 2 * half && Angles::Shape::at(1) == half,
                  "rope_halves: the table must hold half as many angles as the head has channels");
    const auto a = slice<3, 0, half>(x);
    const auto b = slice<3, half, 2 * half>(x);
    return concat<3>(a * cosines - b * sines, b * cosines + a * sines);
}

}  // namespace flowfar
