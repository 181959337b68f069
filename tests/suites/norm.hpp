#pragma once

/// Normalizations and rotary embedding of a backend against the reference.

#include "twin.hpp"

namespace flowfar::testing {

/// Scale and shift: absent, one row for all, one row per batch element, or one row per batch element said once.
template <class B>
[[nodiscard]] std::vector<std::pair<Twin<B>, Twin<B>>> norm_operands(Maker<B>& make, const Extents& x) {
    const Extents row{x.back()};
    const Extents rows{x[0], x.back()};
    std::vector<std::pair<Twin<B>, Twin<B>>> out;
    out.emplace_back();
    out.emplace_back(make.uniform(row, 0.5, 1.5), make.uniform(row));
    out.emplace_back(make.uniform(row, 0.5, 1.5), Twin<B>{});
    out.emplace_back(Twin<B>{}, make.uniform(row));
    if (x.rank() > 1) {
        out.emplace_back(make.uniform(rows, 0.5, 1.5), make.uniform(rows));
        out.emplace_back(Twin<B>{}, make.uniform(rows));
        out.emplace_back(make.uniform(row, 0.5, 1.5), make.uniform(rows));
        out.emplace_back(make.uniform({1, x.back()}, 0.5, 1.5), make.uniform({1, x.back()}));
        // as modulation comes: slices of one wide row per batch element
        const Twin<B> wide = make.uniform({x[0], 3 * x.back()}, 0.5, 1.5);
        out.emplace_back(wide.slice(1, x.back(), 2 * x.back()), wide.slice(1, 0, x.back()));
    }
    return out;
}

template <class B>
[[nodiscard]] std::vector<Twin<B>> norm_inputs(Maker<B>& make) {
    std::vector<Twin<B>> out;
    for (const Extents& e : {Extents{33}, Extents{1, 2}, Extents{4, 33}, Extents{2, 5, 32}, Extents{3, 2, 4, 31},
                             Extents{0, 7, 8}, Extents{3, 0, 8}, Extents{3, 200, 96}, Extents{2, 3, 1000}}) {
        out.push_back(make.uniform(e, -2.0, 3.0));
    }
    out.push_back(make.uniform({2, 9, 40}).slice(1, 2, 7).slice(2, 3, 36));
    out.push_back(make.uniform({4, 2, 32}).permute({1, 0, 2}));
    out.push_back(make.uniform({2, 32, 4}).permute({0, 2, 1}));
    out.push_back(make.uniform({1, 1, 32}).expand({2, 3, 32}));
    return out;
}

template <class B>
void check_layer_norm(DType dtype) {
    Maker<B> make(dtype, 401);
    for (const Twin<B>& x : norm_inputs(make)) {
        // With two channels the normalized values are ±1 and the gradient cancels completely.
        const bool cancels = x.extents().back() < 4;
        for (const auto& [scale, shift] : norm_operands(make, x.extents())) {
            for (const bool plus_one : {false, true}) {
                const NormOptions options{.epsilon = 1e-5, .plus_one = plus_one};
                const auto forward = [=](auto b, const auto& h, const auto& s, const auto& t) {
                    return b.layer_norm(h, s, t, options);
                };
                const auto backward = [=](auto b, const auto& h, const auto& s, const auto& t, const auto& g) {
                    const auto d = b.layer_norm_backward(h, s, t, g, options);
                    return std::vector{d.input, d.scale, d.shift};
                };
                const std::string name = text("layer norm of ", x.extents(), ", scale ", scale.extents(), ", shift ",
                                              shift.extents(), plus_one ? ", plus one" : "");
                const double tolerance = approx::of(dtype, x.extents().back());
                agree<B>(name, make, 2.0 * tolerance, forward, x, scale, shift);
                if (!cancels) {
                    const double sums = approx::of(dtype, x.extents().count());
                    agree<B>("backward of " + name, make, 4.0 * sums, backward, x, scale, shift,
                             make.uniform(x.extents()));
                }
            }
        }
    }
    const Twin<B> x = make.uniform({2, 3, 8});
    const auto with_scale = [&](const Extents& e) {
        return B::layer_norm(x.tested, make.uniform(e).tested, typename B::Handle{}, {});
    };
    CHECK_THROWS_AS(static_cast<void>(with_scale({7})), Error);
    CHECK_THROWS_AS(static_cast<void>(with_scale({3, 8})), Error);
}

template <class B>
void check_modulated_layer_norm(DType dtype) {
    Maker<B> make(dtype, 404);
    for (const Twin<B>& x : norm_inputs(make)) {
        if (x.extents().rank() < 2) {
            continue;
        }
        const Index columns = x.extents().back();
        for (const Extents& e : {Extents{columns}, Extents{x.extents()[0], columns}, Extents{1, columns}}) {
            agree<B>(
                text("modulated layer norm of ", x.extents(), ", scale ", e), make, 4.0 * approx::of(dtype, columns),
                [](auto b, const auto& h, const auto& g, const auto& t, const auto& s, const auto& a) {
                    return b.modulated_layer_norm(h, g, t, s, a, {.epsilon = 1e-5});
                },
                x, make.uniform({columns}, 0.5, 1.5), make.uniform({columns}), make.uniform(e), make.uniform(e));
        }
    }
}

template <class B>
void check_rms_norm(DType dtype) {
    Maker<B> make(dtype, 402);
    for (const Twin<B>& x : norm_inputs(make)) {
        for (const auto& [scale, unused] : norm_operands(make, x.extents())) {
            const auto forward = [](auto b, const auto& h, const auto& s) { return b.rms_norm(h, s, {}); };
            const auto backward = [](auto b, const auto& h, const auto& s, const auto& g) {
                const auto d = b.rms_norm_backward(h, s, g, {});
                return std::vector{d.input, d.scale, d.shift};
            };
            const std::string name = text("RMS norm of ", x.extents(), ", scale ", scale.extents());
            agree<B>(name, make, 2.0 * approx::of(dtype, x.extents().back()), forward, x, scale);
            agree<B>("backward of " + name, make, 4.0 * approx::of(dtype, x.extents().count()), backward, x, scale,
                     make.uniform(x.extents()));
        }
    }
}

template <class B>
void check_rope(DType dtype) {
    Maker<B> make(dtype, 403);
    const auto check = [&](const Twin<B>& x) {
        const Index tokens = x.extents()[2];
        const Index pairs = x.extents()[3] / 2;
        for (const Rotation rotation : {Rotation::forward, Rotation::inverse}) {
            agree<B>(
                text("rope of ", x.extents()), make, approx::of(dtype),
                [=](auto b, const auto& h, const auto& c, const auto& s) { return b.rope(h, c, s, rotation); }, x,
                make.uniform({tokens, pairs}), make.uniform({tokens, pairs}));
        }
    };
    for (const Extents& e : {Extents{1, 1, 1, 2}, Extents{2, 3, 5, 8}, Extents{1, 2, 33, 64}, Extents{2, 4, 100, 96},
                             Extents{0, 2, 3, 4}, Extents{2, 3, 0, 4}}) {
        check(make.uniform(e));
    }
    check(make.uniform({2, 5, 3, 8}).permute({0, 2, 1, 3}));
    const Twin<B> packed = make.uniform({2, 7, 3, 4, 8}).permute({2, 0, 3, 1, 4});  // [3, B, H, L, D]
    check(packed.slice(0, 1, 2).reshape({2, 4, 7, 8}));
    check(make.uniform({1, 1, 1, 8}).expand({2, 3, 4, 8}));
    const auto x = make.uniform({1, 2, 5, 8});
    const auto with_table = [&](const Extents& e) {
        return B::rope(x.tested, make.uniform(e).tested, make.uniform(e).tested, Rotation::forward);
    };
    CHECK_THROWS_AS(static_cast<void>(with_table({4, 4})), Error);
    CHECK_THROWS_AS(static_cast<void>(with_table({5, 3})), Error);
}

}  // namespace flowfar::testing
