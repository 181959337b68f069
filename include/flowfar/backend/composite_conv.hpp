#pragma once

#include <limits>
#include <vector>

#include "flowfar/core/shapes/pooling_shape.hpp"

namespace flowfar {

/// Default definitions of the operations on images from a plain backend's primitives; a part of `Composite`.
template <class B, class H>
struct CompositeConv {
    /// Cross-correlation, as deep learning means it: y[n, o, r, c] = bias[o] + Σ x[n, i, r·stride + a − top,
    /// c·stride + b − left] · weight[o, i, a, b], zeros outside. x [batch, in, h, w], weight [out, in, kh, kw], bias
    /// [out] or undefined.
    [[nodiscard]] static H conv2d(const H& x, const H& weight, const H& bias, const ConvOptions& options) {
        const ConvShape s = ConvShape::of(B::extents(x), B::extents(weight), options);
        const H padded = zeros_around(s, B::dtype(x));
        B::assign(inside(padded, s), x);
        H y = B::full({s.batch, s.out, s.pixels()}, B::dtype(x), 0.0);
        for (Index tap = 0; tap < s.taps(); ++tap) {
            const H seen = B::reshape(view(padded, s, tap), {s.batch, s.in, s.pixels()});
            y = B::binary(BinaryOp::add, y, B::gemm(spread(matrix(weight, s, tap), s), seen, H{}, {}));
        }
        y = B::reshape(y, s.output());
        return bias.defined() ? B::binary(BinaryOp::add, y, B::reshape(bias, {s.out, 1, 1})) : y;
    }
    /// dL/dx of a conv2d whose input had these extents.
    [[nodiscard]] static H conv2d_backward_input(const H& weight, const H& g, const Extents& x,
                                                 const ConvOptions& options) {
        const ConvShape s = ConvShape::of(x, B::extents(weight), B::extents(g), options);
        const H padded = zeros_around(s, B::dtype(g));
        const H rows = B::reshape(g, {s.batch, s.out, s.pixels()});
        for (Index tap = 0; tap < s.taps(); ++tap) {
            const H back = B::permute(matrix(weight, s, tap), {1, 0});
            B::add_into(view(padded, s, tap), B::reshape(B::gemm(spread(back, s), rows, H{}, {}),
                                                         {s.batch, s.in, s.out_height, s.out_width}));
        }
        return B::contiguous(inside(padded, s));
    }
    /// dL/dweight of a conv2d whose weight had these extents. The bias's gradient is the sum of g.
    [[nodiscard]] static H conv2d_backward_weight(const H& x, const H& g, const Extents& weight,
                                                  const ConvOptions& options) {
        const ConvShape s = ConvShape::of(B::extents(x), weight, B::extents(g), options);
        const H padded = zeros_around(s, B::dtype(x));
        B::assign(inside(padded, s), x);
        const H rows = B::reshape(g, {s.batch, s.out, s.pixels()});
        const H out = B::full(weight, B::dtype(g), 0.0);
        for (Index tap = 0; tap < s.taps(); ++tap) {
            const H seen = B::reshape(view(padded, s, tap), {s.batch, s.in, s.pixels()});
            const H each = B::gemm(rows, B::permute(seen, {0, 2, 1}), H{}, {});
            B::assign(matrix(out, s, tap), B::reduce(ReduceOp::sum, each, Axes::only(0), ReducedAxes::drop));
        }
        return out;
    }

    /// Layer norm over each of `groups` ranges of channels and all pixels, then weight and bias per channel (Wu & He
    /// 2018): x [batch, channels, …]; weight and bias [channels].
    [[nodiscard]] static H group_norm(const H& x, const H& weight, const H& bias, Index groups, double epsilon) {
        check_group_norm(B::extents(x), B::extents(weight).count(), B::extents(bias).count(), groups);
        const H n = normalized(x, groups, epsilon);
        return B::binary(BinaryOp::add, B::binary(BinaryOp::mul, n, per_channel(weight, x)), per_channel(bias, x));
    }
    [[nodiscard]] static NormGradients<H> group_norm_backward(const H& x, const H& weight, const H& g, Index groups,
                                                              double epsilon) {
        const Extents e = B::extents(x);
        check_group_norm(e, B::extents(weight).count(), e[1], groups);
        const H gn = B::binary(BinaryOp::mul, g, per_channel(weight, x));
        const NormOptions options{.epsilon = epsilon};
        const H dx = B::layer_norm_backward(grouped(x, groups), H{}, H{}, grouped(gn, groups), options).input;
        const Axes others{Axes::all(e.rank()).bits & ~Axes::only(1).bits};
        const H products = B::binary(BinaryOp::mul, g, normalized(x, groups, epsilon));
        return {B::reshape(dx, e), B::reduce(ReduceOp::sum, products, others, ReducedAxes::drop),
                B::reduce(ReduceOp::sum, g, others, ReducedAxes::drop)};
    }

    /// Every pixel four times: x [batch, channels, h, w] → [batch, channels, 2h, 2w].
    [[nodiscard]] static H upsample_nearest2(const H& x) {
        const Extents e = B::extents(x);
        require(e.rank() == 4, "upsample_nearest2: expected four axes, found ", e);
        const H six = B::reshape(x, {e[0], e[1], e[2], 1, e[3], 1});
        return B::reshape(B::expand(six, {e[0], e[1], e[2], 2, e[3], 2}), {e[0], e[1], 2 * e[2], 2 * e[3]});
    }
    /// Sums of 2×2 pixels of g [batch, channels, 2h, 2w].
    [[nodiscard]] static H upsample_nearest2_backward(const H& g) {
        const Extents e = B::extents(g);
        require(e.rank() == 4 && e[2] % 2 == 0 && e[3] % 2 == 0, "upsample_nearest2: a gradient of ", e);
        const H six = B::reshape(g, {e[0], e[1], e[2] / 2, 2, e[3] / 2, 2});
        return B::reduce(ReduceOp::sum, six, Axes::only(3) | Axes::only(5), ReducedAxes::drop);
    }

    /// Maximum or mean of each window of x [batch, channels, h, w], channel by channel.
    [[nodiscard]] static H pool2d(const H& x, const PoolOptions& options) {
        const PoolShape s = PoolShape::of(B::extents(x), options);
        const H padded = around(x, s);
        H y = B::contiguous(view(padded, s.windows, 0));
        const BinaryOp join = options.kind == PoolKind::max ? BinaryOp::max : BinaryOp::add;
        for (Index tap = 1; tap < s.windows.taps(); ++tap) {
            y = B::binary(join, y, view(padded, s.windows, tap));
        }
        return options.kind == PoolKind::max ? y : B::binary(BinaryOp::mul, y, shares(s, B::dtype(x)));
    }
    /// dL/dx of a pool2d whose input had these extents; a maximum needs the input x, and the first of equals wins.
    [[nodiscard]] static H pool2d_backward(const H& x, const H& g, const Extents& extents, const PoolOptions& options) {
        const PoolShape s = PoolShape::of(extents, B::extents(g), options);
        const H padded = zeros_around(s.windows, B::dtype(g));
        if (options.kind == PoolKind::max) {
            const H seen = around(x, s);
            const H y = pool2d(x, options);
            const H nothing = B::full({}, B::dtype(g), 0.0);
            H left = g;
            for (Index tap = 0; tap < s.windows.taps(); ++tap) {
                const H wins = B::binary(BinaryOp::equal, view(seen, s.windows, tap), y);
                B::add_into(view(padded, s.windows, tap), B::where(wins, left, nothing));
                left = B::where(wins, nothing, left);
            }
        } else {
            const H share = B::binary(BinaryOp::mul, g, shares(s, B::dtype(g)));
            for (Index tap = 0; tap < s.windows.taps(); ++tap) {
                B::add_into(view(padded, s.windows, tap), share);
            }
        }
        return B::contiguous(inside(padded, s.windows));
    }

   private:
    /// x amid what leaves the pooling's results alone.
    [[nodiscard]] static H around(const H& x, const PoolShape& s) {
        const double neutral = s.options.kind == PoolKind::max ? -std::numeric_limits<double>::infinity() : 0.0;
        const H padded = zeros_around(s.windows, B::dtype(x), neutral);
        B::assign(inside(padded, s.windows), x);
        return padded;
    }
    [[nodiscard]] static H shares(const PoolShape& s, DType dtype) {
        const std::vector<double> each = s.shares();
        return B::cast(B::from_host(each.data(), {s.windows.out_height, s.windows.out_width}, DType::f64), dtype);
    }
    /// Zeros (or another value) as large as the padded input, and larger by what makes every tap's rows and columns
    /// whole steps.
    [[nodiscard]] static H zeros_around(const ConvShape& s, DType dtype, double value = 0.0) {
        const ConvOptions& o = s.options;
        return B::full(
            {s.batch, s.in, s.height + o.top + o.bottom + o.stride - 1, s.width + o.left + o.right + o.stride - 1},
            dtype, value);
    }
    [[nodiscard]] static H inside(const H& padded, const ConvShape& s) {
        const ConvOptions& o = s.options;
        return B::slice(B::slice(padded, 2, o.top, o.top + s.height), 3, o.left, o.left + s.width);
    }
    /// What one tap of the kernel sees: a view [batch, in, out_height, out_width] of the padded input.
    [[nodiscard]] static H view(const H& padded, const ConvShape& s, Index tap) {
        const Index step = s.options.stride;
        const Index row = tap / s.kernel_width;
        const Index column = tap % s.kernel_width;
        const H part =
            B::slice(B::slice(padded, 2, row, row + step * s.out_height), 3, column, column + step * s.out_width);
        const H six = B::reshape(part, {s.batch, s.in, s.out_height, step, s.out_width, step});
        return B::reshape(B::slice(B::slice(six, 3, 0, 1), 5, 0, 1), {s.batch, s.in, s.out_height, s.out_width});
    }
    /// One tap's weights as a view [out, in].
    [[nodiscard]] static H matrix(const H& weight, const ConvShape& s, Index tap) {
        const Index row = tap / s.kernel_width;
        const Index column = tap % s.kernel_width;
        return B::reshape(B::slice(B::slice(weight, 2, row, row + 1), 3, column, column + 1), {s.out, s.in});
    }
    [[nodiscard]] static H spread(const H& m, const ConvShape& s) {
        const Extents e = B::extents(m);
        return B::expand(m, {s.batch, e[0], e[1]});
    }
    [[nodiscard]] static H per_channel(const H& v, const H& x) {
        const Extents e = B::extents(x);
        Extents out{e[1]};
        for (int axis = 2; axis < e.rank(); ++axis) {
            out.push_back(1);
        }
        return B::reshape(v, out);
    }
    [[nodiscard]] static H grouped(const H& x, Index groups) {
        const Extents e = B::extents(x);
        Index rest = e[1] / groups;
        for (int axis = 2; axis < e.rank(); ++axis) {
            rest *= e[axis];
        }
        return B::reshape(x, {e[0], groups, rest});
    }
    [[nodiscard]] static H normalized(const H& x, Index groups, double epsilon) {
        return B::reshape(B::layer_norm(grouped(x, groups), H{}, H{}, {.epsilon = epsilon}), B::extents(x));
    }
};

}  // namespace flowfar
