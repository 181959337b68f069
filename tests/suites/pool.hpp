#pragma once

/// Pooling of a backend against the reference.

#include "flowfar/core/shapes/pooling_shape.hpp"

#include "twin.hpp"

namespace flowfar::testing {

/// Poolings that differ in everything: overlap, gaps, padding on one side, windows beyond the edge.
inline constexpr PoolOptions pool_cases[] = {
    PoolOptions::square(PoolKind::max, 2, 2),
    PoolOptions::square(PoolKind::max, 3, 1, 1),
    PoolOptions::square(PoolKind::max, 3, 2, 0, true),
    PoolOptions::square(PoolKind::max, 3, 2, 1),
    {PoolKind::max, 1, 3, {2, 0, 2, 0, 1}, false},
    PoolOptions::square(PoolKind::max, 2, 3, 1, true),
    PoolOptions::square(PoolKind::mean, 2, 2),
    PoolOptions::square(PoolKind::mean, 3, 1, 1),
    PoolOptions::square(PoolKind::mean, 3, 2, 1, true),
    {PoolKind::mean, 3, 2, {3, 1, 0, 2, 1}, true},
    PoolOptions::square(PoolKind::mean_inside, 3, 1, 1),
    PoolOptions::square(PoolKind::mean_inside, 3, 2, 1, true),
    {PoolKind::mean_inside, 2, 4, {1, 1, 3, 0, 2}, false},
};

[[nodiscard]] inline std::string pool_name(const Extents& x, const PoolOptions& p) {
    return text("pooling of kind ", static_cast<int>(p.kind), " of ", x, " by ", p.height, "×", p.width, ", stride ",
                p.around.stride, ", padding ", p.around.top, " ", p.around.left, " ", p.around.bottom, " ",
                p.around.right, p.ceil ? ", ceil" : "");
}

template <class B>
void check_pool2d(DType dtype) {
    Maker<B> make(dtype, 611);
    const auto check = [&](const Twin<B>& x, const PoolOptions& options) {
        const Extents& e = x.extents();
        const PoolShape shape = PoolShape::of(e, options);
        const std::string name = pool_name(e, options);
        const bool exact = options.kind == PoolKind::max;
        const Index taps = shape.windows.taps();
        agree<B>(
            name, make, exact ? 0.0 : 2.0 * approx::of(dtype, taps),
            [=](auto b, const auto& h) { return b.pool2d(h, options); }, x);
        agree<B>(
            "backward of " + name, make, 2.0 * approx::of(dtype, taps),
            [=](auto b, const auto& h, const auto& g) { return b.pool2d_backward(h, g, e, options); },
            exact ? x : Twin<B>{}, make.uniform(shape.windows.output()));
    };
    for (const PoolOptions& options : pool_cases) {
        check(make.uniform({2, 3, 7, 9}), options);
        check(make.quarters({1, 4, 8, 6}), options);  // with ties
        check(make.uniform({0, 3, 5, 5}), options);
        check(make.uniform({2, 6, 5, 4}).permute({0, 3, 2, 1}), options);
    }
    check(make.uniform({2, 70, 33, 31}), PoolOptions::square(PoolKind::mean_inside, 3, 1, 1));
    check(make.uniform({1, 2, 1, 1}), PoolOptions::square(PoolKind::mean, 3, 1, 1));

    const auto x = make.uniform({1, 2, 4, 4}).tested;
    const auto with = [&](const PoolOptions& options) { return B::pool2d(x, options); };
    CHECK_THROWS_AS(static_cast<void>(with(PoolOptions::square(PoolKind::max, 5, 1))), Error);
    CHECK_THROWS_AS(static_cast<void>(with(PoolOptions::square(PoolKind::max, 2, 1, 2))), Error);
    CHECK_THROWS_AS(static_cast<void>(with(PoolOptions::square(PoolKind::max, 2, 0))), Error);
    CHECK_THROWS_AS(static_cast<void>(with(PoolOptions::square(PoolKind::max, 0, 1))), Error);
    CHECK_THROWS_AS(static_cast<void>(B::pool2d(make.uniform({4, 4}).tested, {})), Error);
    CHECK_THROWS_AS(static_cast<void>(B::pool2d_backward(x, make.uniform({1, 2, 3, 2}).tested, {1, 2, 4, 4}, {})),
                    Error);
}

}  // namespace flowfar::testing
