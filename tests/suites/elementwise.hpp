#pragma once

/// Elementwise operations of a backend against the reference.

#include <utility>

#include "twin.hpp"

namespace flowfar::testing {

inline constexpr int unary_count = static_cast<int>(UnaryOp::binary_entropy) + 1;
inline constexpr int binary_count = static_cast<int>(BinaryOp::greater) + 1;

/// An operation with scalars that make it interesting, and a range of inputs where it is smooth.
struct UnaryCase {
    Unary op;
    double low;
    double high;
    bool far = false;  ///< mostly tails: only a large sample says something about relative errors
};

[[nodiscard]] inline std::vector<UnaryCase> unary_cases() {
    std::vector<UnaryCase> cases;
    for (int i = 0; i < unary_count; ++i) {
        const auto op = static_cast<UnaryOp>(i);
        switch (op) {
            case UnaryOp::affine:
                cases.push_back({{op, 1.75, -0.5}, -3.0, 3.0});
                break;
            case UnaryOp::log:
            case UnaryOp::sqrt:
            case UnaryOp::rsqrt:
                cases.push_back({{op}, 0.25, 4.0});
                break;
            case UnaryOp::clamp:
                cases.push_back({{op, -0.5, 0.75}, -2.0, 2.0});
                break;
            default:
                cases.push_back({{op}, -4.0, 4.0});
        }
    }
    // Far out, where exponentials over- and underflow.
    for (const UnaryOp op : {UnaryOp::tanh, UnaryOp::sigmoid, UnaryOp::silu, UnaryOp::gelu_tanh, UnaryOp::gelu_erf,
                             UnaryOp::softplus, UnaryOp::binary_entropy}) {
        cases.push_back({{op}, -200.0, 200.0, true});
    }
    return cases;
}

template <class B>
void check_unary(DType dtype) {
    Maker<B> make(dtype, 101);
    for (const UnaryCase& c : unary_cases()) {
        const std::string name(name_of(c.op.op));
        const auto forward = [&](auto b, const auto& x) { return b.unary(c.op, x); };
        for (const Index size : awkward_sizes) {
            if (!c.far || size >= 1000) {
                agree<B>("unary " + name, make, approx::of(dtype), forward, make.uniform({size}, c.low, c.high));
            }
        }
        const auto x = make.uniform({5, 33, 7}, c.low, c.high);
        agree<B>(name + " of a transposed view", make, approx::of(dtype), forward, x.permute({2, 0, 1}));
        agree<B>(name + " of a slice", make, approx::of(dtype), forward, x.slice(1, 3, 20));
        agree<B>(name + " of a broadcast view", make, approx::of(dtype), forward,
                 x.slice(1, 2, 3).expand({3, 5, 32, 7}));
        if (!c.far) {
            agree<B>(name + " of a scalar", make, approx::of(dtype), forward, make.uniform({}, c.low, c.high));
        }
    }
}

/// The derivative gets only what it promises to read: the input, the output or neither.
template <class B>
void check_unary_backward(DType dtype) {
    Maker<B> make(dtype, 102);
    for (const UnaryCase& c : unary_cases()) {
        const auto backward = [&](auto b, const auto& x, const auto& g) {
            using H = std::remove_cvref_t<decltype(x)>;
            const H y = backward_uses_output(c.op.op) ? b.unary(c.op, x) : H{};
            return b.unary_backward(c.op, backward_uses_input(c.op.op) ? x : H{}, y, g);
        };
        const std::string name = "backward of " + std::string(name_of(c.op.op));
        // Where the output is used, it has been rounded: 1 - y^2 of a single y near 1 would have few digits left.
        const double tolerance = 4.0 * approx::of(dtype);
        const bool rounded = dtype == DType::bf16 || backward_uses_output(c.op.op);
        const Index smallest = c.far ? 1000 : rounded ? 31 : 0;
        for (const Index size : awkward_sizes) {
            if (size < smallest) {
                continue;
            }
            agree<B>(name, make, tolerance, backward, make.uniform({size}, c.low, c.high), make.uniform({size}));
        }
        const auto x = make.uniform({5, 33, 7}, c.low, c.high);
        agree<B>(name + " with views", make, tolerance, backward, x.permute({1, 0, 2}),
                 make.uniform({33, 1, 7}).expand({33, 5, 7}));
    }
}

/// Pairs of operands that broadcast in all the ways there are.
template <class B>
[[nodiscard]] std::vector<std::pair<Twin<B>, Twin<B>>> binary_operands(Maker<B>& make, bool positive) {
    const auto draw = [&](const Extents& e) { return positive ? make.uniform(e, 0.25, 2.0) : make.quarters(e); };
    std::vector<std::pair<Twin<B>, Twin<B>>> out;
    for (const Index size : awkward_sizes) {
        out.emplace_back(draw({size}), draw({size}));
    }
    out.emplace_back(draw({33}), draw({}));
    out.emplace_back(draw({}), draw({4, 5}));
    out.emplace_back(draw({3, 4}), draw({4}));
    out.emplace_back(draw({4}), draw({2, 3, 4}));
    out.emplace_back(draw({5, 1, 7}), draw({4, 1}));
    out.emplace_back(draw({1, 6}), draw({31, 1}));
    out.emplace_back(draw({0, 3}), draw({1, 3}));
    out.emplace_back(draw({2, 3, 4}).permute({2, 0, 1}), draw({4, 2, 3}));
    out.emplace_back(draw({9, 8}).slice(0, 2, 7).slice(1, 1, 4), draw({3}).expand({5, 3}));
    out.emplace_back(draw({130, 200}), draw({200}));
    out.emplace_back(draw({130, 200}), draw({130, 1}));
    out.emplace_back(draw({3, 5, 1, 2, 4}), draw({3, 1, 6, 2, 1}));
    return out;
}

template <class B>
void check_binary(DType dtype) {
    Maker<B> make(dtype, 103);
    for (const bool positive : {true, false}) {
        for (int i = 0; i < binary_count; ++i) {
            const auto op = static_cast<BinaryOp>(i);
            if (!positive && op == BinaryOp::div) {
                continue;
            }
            for (const auto& [a, b] : binary_operands(make, positive)) {
                agree<B>(
                    text(name_of(op), " of ", a.extents(), " and ", b.extents()), make, approx::of(dtype),
                    [op](auto backend, const auto& x, const auto& y) { return backend.binary(op, x, y); }, a, b);
            }
        }
    }
}

template <class B>
void check_binary_backward(DType dtype) {
    Maker<B> make(dtype, 104);
    for (const bool positive : {true, false}) {
        for (int i = 0; i < binary_count; ++i) {
            const auto op = static_cast<BinaryOp>(i);
            if (!positive && op == BinaryOp::div) {
                continue;
            }
            for (const auto& [a, b] : binary_operands(make, positive)) {
                const Twin<B> g = make.uniform(broadcast(a.extents(), b.extents(), "test"));
                for (const Operand operand : {Operand::first, Operand::second}) {
                    const auto backward = [=](auto backend, const auto& x, const auto& y, const auto& d) {
                        return backend.binary_backward(op, operand, x, y, backend.binary(op, x, y), d);
                    };
                    agree<B>(text("backward of ", name_of(op), " of ", a.extents(), " and ", b.extents()), make,
                             4.0 * approx::of(dtype), backward, a, b, g);
                }
            }
        }
    }
}

template <class B>
void check_multiply_add(DType dtype) {
    Maker<B> make(dtype, 108);
    const auto check = [&](const Twin<B>& x, const Twin<B>& factor, const Twin<B>& addend) {
        for (const FactorKind kind : {FactorKind::plain, FactorKind::plus_one}) {
            agree<B>(
                text("multiply_add of ", x.extents(), ", ", factor.extents(), " and ", addend.extents()), make,
                2.0 * approx::of(dtype),
                [kind](auto b, const auto& hx, const auto& hf, const auto& ha) {
                    return b.multiply_add(hx, hf, ha, kind);
                },
                x, factor, addend);
        }
    };
    for (const auto& [a, b] : binary_operands(make, false)) {
        check(a, b, a);
        check(b, a, b);
    }
    const auto chunks = make.uniform({6, 3 * 33});  // as modulations are cut from one product
    check(make.uniform({6, 33}), chunks.slice(1, 33, 66), chunks.slice(1, 0, 33));
    check(make.uniform({2, 40, 33}), make.uniform({2, 1, 33}), make.uniform({2, 40, 33}));
    check(make.uniform({7}), make.uniform({}), make.uniform({3, 1}));
}

template <class B>
void check_where(DType dtype) {
    Maker<B> make(dtype, 105);
    const auto choose = [](auto b, const auto& c, const auto& x, const auto& y) { return b.where(c, x, y); };
    for (const Index size : awkward_sizes) {
        agree<B>("where", make, approx::of(dtype), choose, make.quarters({size}), make.uniform({size}),
                 make.uniform({size}));
    }
    agree<B>("where, all broadcast", make, approx::of(dtype), choose, make.quarters({3, 1, 4}), make.uniform({5, 1}),
             make.uniform({2, 1, 1, 1}));
    agree<B>("where, views", make, approx::of(dtype), choose, make.quarters({4, 3}).permute({1, 0}),
             make.uniform({3, 9}).slice(1, 4, 8), make.uniform({}));
    const Twin<B> index = Maker<B>::indices({0, 1, 5});
    agree<B>("where by integers", make, approx::of(dtype), choose, index, make.uniform({3}), make.uniform({2, 3}));
}

}  // namespace flowfar::testing
