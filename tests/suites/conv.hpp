#pragma once

/// Convolution, group norm and upsampling of a backend against the reference.

#include "twin.hpp"

namespace flowfar::testing {

/// Compares output and gradients for one set of operands.
template <class B>
void check_conv2d_of(Maker<B>& make, const Twin<B>& x, const Twin<B>& weight, const Twin<B>& bias,
                     const ConvOptions& options) {
    const Extents& ex = x.extents();
    const Extents& ew = weight.extents();
    const ConvShape shape = ConvShape::of(ex, ew, options);
    const std::string name =
        text("conv2d of ", ex, " by ", ew, bias.exact.defined() ? " with bias" : "", ", stride ", options.stride,
             ", padding ", options.top, " ", options.left, " ", options.bottom, " ", options.right);
    const auto of = [&](Index terms) { return 2.0 * approx::of(make.dtype(), terms); };
    agree<B>(
        name, make, of(shape.in * shape.taps()),
        [=](auto b, const auto& hx, const auto& hw, const auto& hb) { return b.conv2d(hx, hw, hb, options); }, x,
        weight, bias);
    const Twin<B> g = make.uniform(shape.output());
    agree<B>(
        "input gradient of " + name, make, of(shape.out * shape.taps()),
        [=](auto b, const auto& hw, const auto& hg) { return b.conv2d_backward_input(hw, hg, ex, options); }, weight,
        g);
    agree<B>(
        "weight gradient of " + name, make, of(shape.batch * shape.pixels()),
        [=](auto b, const auto& hx, const auto& hg) { return b.conv2d_backward_weight(hx, hg, ew, options); }, x, g);
}

template <class B>
void check_conv2d(DType dtype) {
    Maker<B> make(dtype, 601);
    struct Case {
        Extents x, weight;
        ConvOptions options;
    };
    const Case cases[] = {
        {{1, 1, 1, 1}, {1, 1, 1, 1}, {}},
        {{2, 3, 5, 7}, {4, 3, 3, 3}, ConvOptions::same(3)},
        {{2, 3, 8, 6}, {5, 3, 3, 3}, {2, 0, 0, 1, 1}},
        {{1, 4, 9, 9}, {3, 4, 3, 3}, {2, 1, 1, 1, 1}},
        {{1, 2, 7, 5}, {3, 2, 2, 3}, {1, 0, 2, 3, 1}},
        {{1, 2, 11, 10}, {2, 2, 5, 2}, {3, 4, 0, 0, 2}},
        {{1, 2, 2, 2}, {2, 2, 7, 7}, ConvOptions::same(7)},  // the kernel is larger than the image
        {{1, 1, 3, 4}, {2, 1, 1, 1}, {2, 1, 1, 1, 1}},       // some taps see padding only
        {{3, 33, 4, 5}, {31, 33, 1, 1}, {}},
        {{2, 17, 12, 13}, {70, 17, 3, 3}, ConvOptions::same(3)},
        {{1, 35, 3, 3}, {130, 35, 3, 3}, ConvOptions::same(3)},
        {{1, 3, 40, 41}, {6, 3, 3, 3}, ConvOptions::same(3)},
        {{1, 3, 70, 70}, {2, 3, 1, 1}, {}},
        {{1, 400, 9, 9}, {2, 400, 3, 3}, ConvOptions::same(3)},  // more rows than a block of 64 pixels should have
        {{0, 3, 5, 5}, {4, 3, 3, 3}, ConvOptions::same(3)},
        // outputs in whole vectors of a line
        {{2, 17, 5, 16}, {30, 17, 3, 3}, ConvOptions::same(3)},
        {{1, 5, 7, 48}, {15, 5, 5, 5}, ConvOptions::same(5)},
        {{3, 4, 6, 17}, {3, 4, 2, 2}, {}},
        {{1, 2, 3, 14}, {2, 2, 3, 3}, {1, 0, 2, 3, 2}},
    };
    for (const Case& c : cases) {
        check_conv2d_of<B>(make, make.uniform(c.x), make.uniform(c.weight), make.uniform({c.weight[0]}), c.options);
        check_conv2d_of<B>(make, make.uniform(c.x), make.uniform(c.weight), {}, c.options);
    }
    // views: channels last, weights of a transposed layer, a repeated image, a part of a wider bias
    const ConvOptions same = ConvOptions::same(3);
    check_conv2d_of<B>(make, make.uniform({2, 5, 6, 4}).permute({0, 3, 1, 2}),
                       make.uniform({4, 7, 3, 3}).permute({1, 0, 3, 2}), make.uniform({9}).slice(0, 1, 8), same);
    check_conv2d_of<B>(make, make.uniform({1, 3, 5, 5}).expand({2, 3, 5, 5}), make.uniform({4, 6, 3, 3}).slice(1, 2, 5),
                       make.uniform({1}).expand({4}), same);

    const auto x = make.uniform({1, 2, 4, 4}).tested;
    const auto with = [&](const Extents& weight, const Extents& bias, const ConvOptions& options) {
        return B::conv2d(x, make.uniform(weight).tested, make.uniform(bias).tested, options);
    };
    CHECK_THROWS_AS(static_cast<void>(with({3, 1, 3, 3}, {3}, same)), Error);
    CHECK_THROWS_AS(static_cast<void>(with({3, 2, 3, 3}, {2}, same)), Error);
    CHECK_THROWS_AS(static_cast<void>(with({3, 2, 5, 5}, {3}, {})), Error);
    CHECK_THROWS_AS(static_cast<void>(with({3, 2, 3, 3}, {3}, {.stride = 0})), Error);
    const auto weight = make.uniform({3, 2, 3, 3}).tested;
    const auto wrong = make.uniform({1, 3, 4, 3}).tested;
    CHECK_THROWS_AS(static_cast<void>(B::conv2d_backward_input(weight, wrong, {1, 2, 4, 4}, same)), Error);
    CHECK_THROWS_AS(static_cast<void>(B::conv2d_backward_weight(x, wrong, {3, 2, 3, 3}, same)), Error);
}

template <class B>
void check_group_norm(DType dtype) {
    Maker<B> make(dtype, 602);
    const auto check = [&](const Twin<B>& x, Index groups) {
        const Index channels = x.extents()[1];
        const Twin<B> weight = make.uniform({channels}, 0.5, 1.5);
        const std::string name = text("group norm of ", x.extents(), " in ", groups, " groups");
        const Index terms = x.extents().count();
        agree<B>(
            name, make, 2.0 * approx::of(dtype, terms),
            [=](auto b, const auto& hx, const auto& hw, const auto& hb) {
                return b.group_norm(hx, hw, hb, groups, 1e-5);
            },
            x, weight, make.uniform({channels}));
        agree<B>(
            "backward of " + name, make, 4.0 * approx::of(dtype, terms),
            [=](auto b, const auto& hx, const auto& hw, const auto& hg) {
                const auto d = b.group_norm_backward(hx, hw, hg, groups, 1e-5);
                return std::vector{d.input, d.scale, d.shift};
            },
            x, weight, make.uniform(x.extents()));
    };
    check(make.uniform({2, 6, 5, 7}, -2.0, 3.0), 3);
    check(make.uniform({1, 4, 33}, -2.0, 3.0), 1);
    check(make.uniform({3, 8, 31}, -2.0, 3.0), 8);
    check(make.uniform({2, 32}, -2.0, 3.0), 4);
    check(make.uniform({1, 4, 50, 61}, 4.0, 5.0), 2);
    check(make.uniform({0, 4, 3, 3}), 2);
    check(make.uniform({2, 4, 5, 6}).permute({0, 3, 1, 2}), 2);
    const auto x = make.uniform({2, 6, 4, 4}).tested;
    const auto with = [&](Index channels, Index groups) {
        const auto w = make.uniform({channels}).tested;
        return B::group_norm(x, w, w, groups, 1e-6);
    };
    CHECK_THROWS_AS(static_cast<void>(with(6, 4)), Error);
    CHECK_THROWS_AS(static_cast<void>(with(6, 0)), Error);
    CHECK_THROWS_AS(static_cast<void>(with(5, 3)), Error);
}

template <class B>
void check_upsample(DType dtype) {
    Maker<B> make(dtype, 603);
    const auto check = [&](const Twin<B>& x) {
        const Extents& e = x.extents();
        agree<B>(text("upsampling of ", e), make, 0.0, [](auto b, const auto& h) { return b.upsample_nearest2(h); }, x);
        agree<B>(
            text("backward of upsampling of ", e), make, approx::of(dtype, 4),
            [](auto b, const auto& g) { return b.upsample_nearest2_backward(g); },
            make.uniform({e[0], e[1], 2 * e[2], 2 * e[3]}, 0.5, 1.0));
    };
    for (const Extents& e : {Extents{1, 1, 1, 1}, Extents{2, 3, 4, 5}, Extents{1, 2, 33, 31}, Extents{1, 3, 128, 130},
                             Extents{0, 3, 4, 4}, Extents{2, 3, 0, 4}, Extents{2, 3, 4, 0}}) {
        check(make.uniform(e));
    }
    check(make.uniform({2, 4, 5, 3}).permute({0, 3, 1, 2}));
    CHECK_THROWS_AS(static_cast<void>(B::upsample_nearest2(make.uniform({3, 4, 4}).tested)), Error);
    CHECK_THROWS_AS(static_cast<void>(B::upsample_nearest2_backward(make.uniform({1, 3, 4, 5}).tested)), Error);
}

}  // namespace flowfar::testing
