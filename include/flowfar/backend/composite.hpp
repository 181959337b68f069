#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "flowfar/backend/composite_conv.hpp"
#include "flowfar/backend/composite_linear.hpp"
#include "flowfar/backend/tensor_lists.hpp"
#include "flowfar/core/layout.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar {

/// Default definitions of the fused operations and their gradients from a plain backend's primitives. A backend
/// inherits them and overrides those it can do faster; `Reference` keeps them all, so they are the tests' oracle.
template <class B, class H>
struct Composite : CompositeConv<B, H>, CompositeLinear<B, H>, TensorLists<B, H> {
    /// x ∘ factor + addend, broadcast; with FactorKind::plus_one the factor is 1 + factor.
    [[nodiscard]] static H multiply_add(const H& x, const H& factor, const H& addend, FactorKind kind) {
        return add(mul(x, kind == FactorKind::plus_one ? B::unary({UnaryOp::affine, 1.0, 1.0}, factor) : factor),
                   addend);
    }

    /// Softmax's gradient from its output y: y ∘ (g − Σ g ∘ y), over the last axis.
    [[nodiscard]] static H softmax_backward(const H& y, const H& g) {
        return mul(y, sub(g, last(ReduceOp::sum, mul(g, y))));
    }
    /// Log-softmax's gradient from its output y: g − e^y Σ g, over the last axis.
    [[nodiscard]] static H log_softmax_backward(const H& y, const H& g) {
        return sub(g, mul(B::unary({UnaryOp::exp}, y), last(ReduceOp::sum, g)));
    }

    /// y = (x − mean) / sqrt(var + ε) · scale + shift over the last axis. scale and shift are undefined, [C], or
    /// [batch, C] for x [batch, …, C]; with `plus_one` the factor is 1 + scale.
    [[nodiscard]] static H layer_norm(const H& x, const H& scale, const H& shift, NormOptions options) {
        return scaled_shifted(standardized(x, options).value, x, scale, shift, options);
    }
    [[nodiscard]] static NormGradients<H> layer_norm_backward(const H& x, const H& scale, const H& shift, const H& g,
                                                              NormOptions options) {
        const auto [n, rstd] = standardized(x, options);
        const H gn = scaled(g, x, scale, options);
        const H centered = sub(gn, last(ReduceOp::mean, gn));
        const H dx = mul(rstd, sub(centered, mul(n, last(ReduceOp::mean, mul(gn, n)))));
        return {dx, scale_gradient(n, x, scale, g), sum_to(g, x, shift)};
    }

    /// y = x / sqrt(mean x² + ε) · scale over the last axis; scale as in layer_norm.
    [[nodiscard]] static H rms_norm(const H& x, const H& scale, NormOptions options) {
        return scaled_shifted(mul(x, inverse_rms(x, options)), x, scale, H{}, options);
    }
    [[nodiscard]] static NormGradients<H> rms_norm_backward(const H& x, const H& scale, const H& g,
                                                            NormOptions options) {
        const H r = inverse_rms(x, options);
        const H n = mul(x, r);
        const H gn = scaled(g, x, scale, options);
        const H dx = mul(r, sub(gn, mul(n, last(ReduceOp::mean, mul(gn, n)))));
        return {dx, scale_gradient(n, x, scale, g), H{}};
    }

    /// Rotates adjacent pairs of the last axis: (a, b) → (a cos − b sin, a sin + b cos); Rotation::inverse negates the
    /// angle. x [batch, heads, tokens, D]; cos, sin [tokens, D/2].
    [[nodiscard]] static H rope(const H& x, const H& cos, const H& sin, Rotation rotation) {
        Extents pairs = B::extents(x);
        const int axis = pairs.rank();
        pairs[axis - 1] /= 2;
        pairs.push_back(2);
        Extents table = B::extents(cos);
        table.push_back(1);
        const H c = B::reshape(cos, table);
        const H s =
            B::unary({UnaryOp::affine, rotation == Rotation::inverse ? -1.0 : 1.0, 0.0}, B::reshape(sin, table));
        const H split = B::reshape(x, pairs);
        const H a = B::slice(split, axis, 0, 1);
        const H b = B::slice(split, axis, 1, 2);
        const std::array<H, 2> rotated{sub(mul(a, c), mul(b, s)), add(mul(a, s), mul(b, c))};
        return B::reshape(B::concat(std::span<const H>(rotated), axis), B::extents(x));
    }

    /// softmax(scale · q kᵀ + mask) v. q [batch, heads, queries, D], k and v [batch, key heads, keys, D]: several heads
    /// of queries in a row share one of keys if there are fewer of those. `key_mask` i64 [batch, keys] hides keys where
    /// it is 0; undefined, it hides none. A query that sees no key (no keys at all, all of them hidden, or a causal
    /// mask with more queries than keys) gives zeros.
    [[nodiscard]] static AttentionResult<H> attention(const H& q, const H& k, const H& v, double scale, MaskKind mask,
                                                      const H& key_mask = {}) {
        Extents rows = B::extents(q);
        if (B::extents(k)[2] == 0) {
            rows[3] = 1;
            return {B::full(B::extents(q), B::dtype(q), 0.0),
                    B::full(rows, B::dtype(q), -std::numeric_limits<double>::infinity())};
        }
        const H logits = masked_logits(q, repeated_heads(k, rows[1]), scale, mask, key_mask);
        // Both clamps only act on rows that see no key.
        constexpr double infinity = std::numeric_limits<double>::infinity();
        const H peak = B::unary({UnaryOp::clamp, -1e30, infinity}, last(ReduceOp::max, logits));
        const H e = B::unary({UnaryOp::exp}, sub(logits, peak));
        const H sum = B::unary({UnaryOp::clamp, 1e-30, infinity}, last(ReduceOp::sum, e));
        const H p = B::binary(BinaryOp::div, e, sum);
        return {B::gemm(p, repeated_heads(v, rows[1]), H{}, {}), add(peak, B::unary({UnaryOp::log}, sum))};
    }
    [[nodiscard]] static AttentionGradients<H> attention_backward(const H& q, const H& k, const H& v,
                                                                  const AttentionResult<H>& y, const H& g, double scale,
                                                                  MaskKind mask, const H& key_mask = {}) {
        if (B::extents(k)[2] == 0) {
            return {B::full(B::extents(q), B::dtype(q), 0.0), B::full(B::extents(k), B::dtype(k), 0.0),
                    B::full(B::extents(v), B::dtype(v), 0.0)};
        }
        const Index heads = B::extents(q)[1];
        const Index key_heads = B::extents(k)[1];
        const H keys = repeated_heads(k, heads);
        const H p = B::unary({UnaryOp::exp}, sub(masked_logits(q, keys, scale, mask, key_mask), y.log_sum_exp));
        const H dp = B::gemm(g, transposed(repeated_heads(v, heads)), H{}, {});
        const H ds = mul(p, sub(dp, last(ReduceOp::sum, mul(g, y.output))));
        return {B::gemm(ds, keys, H{}, {.alpha = scale}),
                summed_heads(B::gemm(transposed(ds), q, H{}, {.alpha = scale}), key_heads),
                summed_heads(B::gemm(transposed(p), g, H{}, {}), key_heads)};
    }
    /// Keys or values x [batch, key heads, keys, D] for each of `heads` heads of queries.
    [[nodiscard]] static H repeated_heads(const H& x, Index heads) {
        const Extents e = B::extents(x);
        if (e[1] == heads) {
            return x;
        }
        const Index group = heads / e[1];
        return B::reshape(B::expand(B::reshape(x, {e[0], e[1], 1, e[2], e[3]}), {e[0], e[1], group, e[2], e[3]}),
                          {e[0], heads, e[2], e[3]});
    }
    /// The gradient of keys or values from that of their repetition.
    [[nodiscard]] static H summed_heads(const H& g, Index key_heads) {
        const Extents e = B::extents(g);
        if (e[1] == key_heads) {
            return g;
        }
        return B::reduce(ReduceOp::sum, B::reshape(g, {e[0], key_heads, e[1] / key_heads, e[2], e[3]}), Axes::only(2),
                         ReducedAxes::drop);
    }

    /// target ← target + weight · (source − target).
    static void lerp(const H& target, const H& source, double weight) {
        B::assign(target, add(B::unary({UnaryOp::affine, 1.0 - weight, 0.0}, target),
                              B::unary({UnaryOp::affine, weight, 0.0}, source)));
    }
    static void add_into(const H& target, const H& source) { B::assign(target, add(target, source)); }

    /// One Adam or AdamW step in place on parameter p with gradient g and moments m, v.
    static void adam_step(const H& p, const H& g, const H& m, const H& v, const AdamOptions& o) {
        const double decay = o.learning_rate * o.weight_decay;
        H gradient = B::unary({UnaryOp::affine, o.gradient_scale, 0.0}, g);
        if (o.decoupled) {
            B::assign(p, B::unary({UnaryOp::affine, 1.0 - decay, 0.0}, p));
        } else if (o.weight_decay != 0.0) {
            gradient = add(gradient, B::unary({UnaryOp::affine, o.weight_decay, 0.0}, p));
        }
        B::lerp(m, gradient, 1.0 - o.beta1);
        B::lerp(v, B::unary({UnaryOp::square}, gradient), 1.0 - o.beta2);
        const double correction1 = 1.0 - std::pow(o.beta1, static_cast<double>(o.step));
        const double correction2 = 1.0 - std::pow(o.beta2, static_cast<double>(o.step));
        const H root = B::unary({UnaryOp::sqrt}, v);
        const H denominator = B::unary({UnaryOp::affine, 1.0 / std::sqrt(correction2), o.epsilon}, root);
        const H update = B::binary(BinaryOp::div, m, denominator);
        B::assign(p, add(p, B::unary({UnaryOp::affine, -o.learning_rate / correction1, 0.0}, update)));
    }

   protected:
    [[nodiscard]] static H add(const H& a, const H& b) { return B::binary(BinaryOp::add, a, b); }
    [[nodiscard]] static H sub(const H& a, const H& b) { return B::binary(BinaryOp::sub, a, b); }
    [[nodiscard]] static H mul(const H& a, const H& b) { return B::binary(BinaryOp::mul, a, b); }
    /// Reduces the last axis and keeps it with extent 1.
    [[nodiscard]] static H last(ReduceOp op, const H& x) {
        return B::reduce(op, x, Axes::only(B::extents(x).rank() - 1), ReducedAxes::keep);
    }
    [[nodiscard]] static H transposed(const H& x) {
        Extents order;
        const int rank = B::extents(x).rank();
        for (int axis = 0; axis < rank; ++axis) {
            order.push_back(axis < rank - 2 ? axis : 2 * rank - 3 - axis);
        }
        return B::permute(x, order);
    }

   private:
    struct Standardized {
        H value;
        H rstd;
    };
    [[nodiscard]] static Standardized standardized(const H& x, NormOptions options) {
        const H centered = sub(x, last(ReduceOp::mean, x));
        const H variance = last(ReduceOp::mean, mul(centered, centered));
        const H rstd = B::unary({UnaryOp::rsqrt}, B::unary({UnaryOp::affine, 1.0, options.epsilon}, variance));
        return {mul(centered, rstd), rstd};
    }
    [[nodiscard]] static H inverse_rms(const H& x, NormOptions options) {
        const H mean_square = last(ReduceOp::mean, mul(x, x));
        return B::unary({UnaryOp::rsqrt}, B::unary({UnaryOp::affine, 1.0, options.epsilon}, mean_square));
    }
    [[nodiscard]] static H scaled(const H& n, const H& x, const H& scale, NormOptions options) {
        if (!scale.defined()) {
            return n;
        }
        const H factor = Composite::per_row(scale, x);
        return mul(n, options.plus_one ? B::unary({UnaryOp::affine, 1.0, 1.0}, factor) : factor);
    }
    [[nodiscard]] static H scaled_shifted(const H& n, const H& x, const H& scale, const H& shift, NormOptions options) {
        const H y = scaled(n, x, scale, options);
        return shift.defined() ? add(y, Composite::per_row(shift, x)) : y;
    }
    /// Sums g, shaped like x, to the extents of a [C] or [batch, C] operand.
    [[nodiscard]] static H sum_to(const H& g, const H& x, const H& operand) {
        if (!operand.defined()) {
            return H{};
        }
        const int rank = B::extents(x).rank();
        Axes axes{(1U << (rank - 1)) - 1U};
        if (B::extents(operand).rank() == 2 && B::extents(operand)[0] != 1) {
            axes.bits &= ~1U;
        }
        return B::reshape(B::reduce(ReduceOp::sum, g, axes, ReducedAxes::keep), B::extents(operand));
    }
    [[nodiscard]] static H scale_gradient(const H& n, const H& x, const H& scale, const H& g) {
        return scale.defined() ? sum_to(mul(g, n), x, scale) : H{};
    }
    [[nodiscard]] static H masked_logits(const H& q, const H& k, double scale, MaskKind mask, const H& key_mask) {
        H logits = B::gemm(q, transposed(k), H{}, {.alpha = scale});
        if (key_mask.defined()) {
            const Extents e = B::extents(key_mask);
            logits = B::where(B::reshape(B::cast(key_mask, B::dtype(q)), {e[0], 1, 1, e[1]}), logits,
                              B::full({1, 1, 1, 1}, B::dtype(q), -std::numeric_limits<double>::infinity()));
        }
        if (mask == MaskKind::full) {
            return logits;
        }
        const Index queries = B::extents(q)[2];
        const Index keys = B::extents(k)[2];
        std::vector<double> bias(static_cast<std::size_t>(queries * keys), 0.0);
        for (Index i = 0; i < queries; ++i) {
            for (Index j = std::max<Index>(0, i + (keys - queries) + 1); j < keys; ++j) {
                bias[static_cast<std::size_t>(i * keys + j)] = -std::numeric_limits<double>::infinity();
            }
        }
        const H hidden = B::cast(B::from_host(bias.data(), {queries, keys}, DType::f64), B::dtype(q));
        return add(logits, hidden);
    }
};

}  // namespace flowfar
