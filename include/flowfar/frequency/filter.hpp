#pragma once

/// Low-pass filters of an image or latent as small matrix products: one axis of n samples goes to `rank` coefficients
/// and back. Differentiable without rules of their own. A level s counts along the shorter side; the longer one, r
/// times as long, keeps s·r, so that both lose the same frequencies.

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "flowfar/core/constexpr_math.hpp"
#include "flowfar/core/images/resize.hpp"
#include "flowfar/core/memory_pool.hpp"

namespace flowfar {

/// A low-pass of one axis: `up` [n, rank] times `down` [rank, n], row-major. Rank 0 gives zeros.
struct LowPassFactors {
    Index rank = 0;
    PoolVector<double> down;
    PoolVector<double> up;
};

namespace detail {

inline void check_level(Index level) {
    require(level >= 0, "low-pass: expected a level of at least 0, found ", level);
}

/// What level s means for the rows and for the columns of x [batch, channels, h, w].
struct AxisLevels {
    Index rows;
    Index columns;
};
template <AnyTensor X>
[[nodiscard]] AxisLevels axis_levels(const X& x, Index level) {
    static_assert(X::Shape::rank == 4, "low-pass: expects [batch, channels, height, width]");
    check_level(level);
    const Index shorter = std::max<Index>(std::min(x.extent(2), x.extent(3)), 1);
    const auto along = [&](Index n) { return (2 * level * n + shorter) / (2 * shorter); };  // halves up
    return {along(x.extent(2)), along(x.extent(3))};
}

/// Applies the factors of both axes to x [batch, channels, h, w].
template <AnyTensor X>
[[nodiscard]] X low_pass(const X& x, const LowPassFactors& rows, const LowPassFactors& columns) {
    if (rows.rank == 0 || columns.rank == 0) {
        return X::zeros(x.extents());
    }
    const auto narrow = resample_last(x, columns.down, columns.rank);
    const auto small = resample_last(transpose(narrow), rows.down, rows.rank);  // [batch, channels, w', h']
    const auto tall = resample_last(small, rows.up, x.extent(2));
    return resample_last(transpose(tall), columns.up, x.extent(3));
}

}  // namespace detail

/// Down to s×s by area (adaptive average pooling) and back by bicubic interpolation (a = −0.75, edges clamped): FAR's
/// default. Level s = 0 gives zeros, s = n, the shorter side, the identity; s > n first enlarges.
struct SpatialFilter {
    [[nodiscard]] static LowPassFactors factors(Index n, Index level) {
        detail::check_level(level);
        if (level == 0) {
            return {};
        }
        return {level, area_weights(n, level), bicubic_weights(level, n, Antialias::off, -0.75)};
    }
    /// x [batch, channels, h, w] without what level s cannot show.
    template <AnyTensor X>
    [[nodiscard]] static X apply(const X& x, Index level) {
        const auto [rows, columns] = detail::axis_levels(x, level);
        if (level > 0 && rows == x.extent(2) && columns == x.extent(3)) {
            return x;
        }
        return detail::low_pass(x, factors(x.extent(2), rows), factors(x.extent(3), columns));
    }
};

/// Keeps the s lowest frequencies of the discrete Fourier transform per axis: |f| ≤ (s − 1)/2 for odd s; for even s < n
/// |f| < s/2, and ±s/2 with weight 1/2, so that the result stays real. s = 0 gives zeros, s = 1 the mean, s ≥ n the
/// identity. An orthogonal projection except for that half weight.
struct FourierFilter {
    [[nodiscard]] static LowPassFactors factors(Index n, Index level) {
        detail::check_level(level);
        if (level == 0) {
            return {};
        }
        LowPassFactors out;
        const Index kept = std::min(level, n);
        append(out, n, 0, 1.0, Wave::cosine);
        // Frequencies come in pairs ±f, a cosine and a sine; n/2 is its own negative and has only a cosine.
        for (Index f = 1; 2 * f <= kept; ++f) {
            const bool alone = 2 * f == n;
            const bool halved = 2 * f == kept && !alone;
            const double weight = alone || halved ? 1.0 : 2.0;
            append(out, n, f, weight, Wave::cosine);
            if (!alone) {
                append(out, n, f, weight, Wave::sine);
            }
        }
        out.up.resize(out.down.size());
        // Rows of `down` hold sqrt(weight / n) cos, so `up` is its transpose.
        for (Index r = 0; r < out.rank; ++r) {
            for (Index i = 0; i < n; ++i) {
                out.up[static_cast<std::size_t>(i * out.rank + r)] = out.down[static_cast<std::size_t>(r * n + i)];
            }
        }
        return out;
    }
    /// x [batch, channels, h, w] with its lowest frequencies only.
    template <AnyTensor X>
    [[nodiscard]] static X apply(const X& x, Index level) {
        const auto [rows, columns] = detail::axis_levels(x, level);
        if (level > 0 && rows >= x.extent(2) && columns >= x.extent(3)) {
            return x;
        }
        return detail::low_pass(x, factors(x.extent(2), rows), factors(x.extent(3), columns));
    }

   private:
    enum class Wave : std::uint8_t { cosine, sine };
    static void append(LowPassFactors& out, Index n, Index f, double weight, Wave wave) {
        const double scale = std::sqrt(weight / static_cast<double>(n));
        for (Index i = 0; i < n; ++i) {
            const double turns = 2.0 * static_cast<double>(f * i % n) / static_cast<double>(n);
            out.down.push_back(scale * (wave == Wave::sine ? cx::sinpi(turns) : cx::cospi(turns)));
        }
        ++out.rank;
    }
};

}  // namespace flowfar
