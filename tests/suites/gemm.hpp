#pragma once

/// Matrix products of a backend against the reference.

#include "twin.hpp"

namespace flowfar::testing {

/// The ways in which a [rows, columns] matrix can lie in memory.
enum class Storage : int { row_major, transposed, wide_rows, wide_columns, interleaved, every_second, repeated_row };
inline constexpr int storage_count = 7;

/// Numbers in [0.1, 1): without cancellation, so that the tolerance can be tight.
template <class B>
[[nodiscard]] Twin<B> matrix(Maker<B>& make, Storage storage, Index rows, Index columns) {
    switch (storage) {
        case Storage::row_major:
            return make.uniform({rows, columns}, 0.1, 1.0);
        case Storage::transposed:
            return make.uniform({columns, rows}, 0.1, 1.0).permute({1, 0});
        case Storage::wide_rows:
            return make.uniform({rows + 3, columns + 5}, 0.1, 1.0).slice(0, 1, rows + 1).slice(1, 2, columns + 2);
        case Storage::wide_columns:
            return make.uniform({columns + 1, rows + 4}, 0.1, 1.0)
                .slice(0, 1, columns + 1)
                .slice(1, 3, rows + 3)
                .permute({1, 0});
        case Storage::interleaved:
            return make.uniform({rows, 3, columns}, 0.1, 1.0).slice(1, 1, 2).reshape({rows, columns});
        case Storage::every_second:
            return make.uniform({rows, columns, 2}, 0.1, 1.0).slice(2, 1, 2).reshape({rows, columns});
        default:
            return make.uniform({1, columns}, 0.1, 1.0).expand({rows, columns});
    }
}

template <class B>
void check_gemm_storage(DType dtype) {
    Maker<B> make(dtype, 301);
    const auto multiply = [](auto b, const auto& x, const auto& y) {
        return b.gemm(x, y, std::remove_cvref_t<decltype(x)>{}, {});
    };
    const auto check = [&](int left, int right, Index rows, Index inner, Index columns) {
        agree<B>(
            text("[", rows, ", ", inner, "] storage ", left, " times [", inner, ", ", columns, "] storage ", right),
            make, approx::of(dtype, inner), multiply, matrix(make, static_cast<Storage>(left), rows, inner),
            matrix(make, static_cast<Storage>(right), inner, columns));
    };
    for (int left = 0; left < storage_count; ++left) {
        for (int right = 0; right < storage_count; ++right) {
            check(left, right, 33, 31, 32);
            check(left, right, 1, 33, 5);
            check(left, right, 4, 1, 1);
        }
    }
    for (const Index rows : {1, 31, 32, 33, 100}) {
        for (const Index inner : {1, 31, 32, 33, 100}) {
            for (const Index columns : {1, 31, 32, 33, 100}) {
                const int left = static_cast<int>(make.engine()() % storage_count);
                const int right = static_cast<int>(make.engine()() % storage_count);
                check(left, right, rows, inner, columns);
            }
        }
    }
    check(0, 1, 700, 64, 96);  // split by rows
    check(1, 0, 40, 64, 600);  // split by columns
    check(3, 2, 40, 64, 600);
    check(1, 1, 700, 64, 96);
}

template <class B>
void check_gemm_batches(DType dtype) {
    Maker<B> make(dtype, 302);
    const auto multiply = [](auto b, const auto& x, const auto& y) {
        return b.gemm(x, y, std::remove_cvref_t<decltype(x)>{}, {});
    };
    const auto check = [&](const char* what, const Twin<B>& a, const Twin<B>& b) {
        agree<B>(text(what, ": ", a.extents(), " times ", b.extents()), make, approx::of(dtype, 64), multiply, a, b);
    };
    const auto draw = [&](const Extents& e) { return make.uniform(e, 0.1, 1.0); };
    check("one matrix for all", draw({3, 5, 7}), draw({7, 4}));
    check("one matrix for all, many axes", draw({2, 3, 2, 5, 7}), draw({7, 4}));
    check("one transposed matrix for all", draw({3, 33, 31}), draw({4, 31}).permute({1, 0}));
    check("batched", draw({3, 5, 7}), draw({3, 7, 4}));
    check("batched, two axes", draw({2, 3, 5, 7}), draw({2, 3, 7, 4}));
    check("b repeats over the first axis", draw({2, 3, 5, 7}), draw({1, 3, 7, 4}));
    check("b repeats over the second axis", draw({2, 3, 5, 7}), draw({2, 1, 7, 4}));
    check("b is an expanded view", draw({2, 3, 5, 7}), draw({1, 1, 7, 4}).expand({2, 3, 7, 4}));
    check("a is an expanded view", draw({1, 5, 7}).expand({4, 5, 7}), draw({4, 7, 2}));
    check("a permuted, one matrix", draw({5, 2, 3, 7}).permute({1, 2, 0, 3}), draw({7, 4}));
    check("both permuted", draw({5, 2, 3, 7}).permute({1, 2, 0, 3}), draw({7, 3, 4, 2}).permute({3, 1, 0, 2}));
    check("attention logits", draw({2, 9, 3, 8}).permute({0, 2, 1, 3}), draw({2, 6, 3, 8}).permute({0, 2, 3, 1}));
    check("many small", draw({70, 3, 2}), draw({70, 2, 3}));
    check("few large", draw({2, 150, 64}), draw({2, 64, 150}));
    check("empty batch", draw({0, 5, 7}), draw({0, 7, 4}));
    check("empty batch, one matrix", draw({0, 5, 7}), draw({7, 4}));
    check("no rows", draw({3, 0, 7}), draw({3, 7, 4}));
    check("no columns", draw({3, 5, 7}), draw({7, 0}));
    check("no inner extent", draw({3, 5, 0}), draw({0, 4}));
    check("no inner extent, batched", draw({3, 5, 0}), draw({3, 0, 4}));
    CHECK_THROWS_AS(static_cast<void>(multiply(B{}, draw({2, 3}).tested, draw({4, 2}).tested)), Error);
    CHECK_THROWS_AS(static_cast<void>(multiply(B{}, draw({4, 2, 3}).tested, draw({2, 3, 2}).tested)), Error);
    CHECK_THROWS_AS(static_cast<void>(multiply(B{}, draw({2, 3}).tested, draw({2, 3, 2}).tested)), Error);
}

template <class B>
void check_gemm_options(DType dtype) {
    Maker<B> make(dtype, 303);
    for (const Activation activation :
         {Activation::none, Activation::silu, Activation::gelu_tanh, Activation::gelu_erf}) {
        for (const double alpha : {1.0, -0.375}) {
            const auto fused = [=](auto b, const auto& x, const auto& y, const auto& bias) {
                return b.gemm(x, y, bias, {.alpha = alpha, .activation = activation});
            };
            const std::string name = text("activation ", static_cast<int>(activation), ", alpha ", alpha);
            const double tolerance = 4.0 * approx::of(dtype, 31);
            const auto x = make.uniform({3, 5, 31});
            const auto weight = make.uniform({33, 31}).permute({1, 0});
            agree<B>(name + ", no bias", make, tolerance, fused, x, weight, Twin<B>{});
            agree<B>(name + ", bias", make, tolerance, fused, x, weight, make.uniform({33}));
            agree<B>(name + ", bias in every third place", make, tolerance, fused, x, weight,
                     make.uniform({33, 3}).slice(1, 2, 3).reshape({33}));
            agree<B>(name + ", nothing but bias", make, tolerance, fused, make.uniform({2, 4, 0}),
                     make.uniform({0, 33}), make.uniform({33}));
            agree<B>(name + ", empty", make, tolerance, fused, make.uniform({0, 31}), weight, make.uniform({33}));
        }
    }
    const auto wrong_bias = [&] {
        return B::gemm(make.uniform({2, 3}).tested, make.uniform({3, 4}).tested, make.uniform({3}).tested, {});
    };
    CHECK_THROWS_AS(static_cast<void>(wrong_bias()), Error);
}

template <class B>
void check_gemm_add(DType dtype) {
    Maker<B> make(dtype, 304);
    const auto add = [](auto b, const auto& r, const auto& g, const auto& x, const auto& y, const auto& bias) {
        return b.gemm_add(r, g, x, y, bias, {});
    };
    for (const Index columns : {5, 32, 70}) {
        const auto weight = make.uniform({columns, 31}).permute({1, 0});
        const auto wide = make.uniform({3, 3 * columns});  // as modulation comes: slices of one wide row
        for (const auto& gate : {Twin<B>{}, make.uniform({columns}), make.uniform({3, columns}),
                                 make.uniform({1, columns}), wide.slice(1, columns, 2 * columns)}) {
            for (const Index tokens : {0, 1, 50}) {
                const auto x = make.uniform({3, tokens, 31});
                const auto residual = make.uniform({3, tokens, columns});
                const std::string name = text("adding to ", residual.extents(), ", gate ", gate.extents());
                const double tolerance = 4.0 * approx::of(dtype, 31);
                agree<B>(name, make, tolerance, add, residual, gate, x, weight, make.uniform({columns}));
                agree<B>(name + ", no bias, views", make, tolerance, add,
                         make.uniform({tokens, 3, columns}).permute({1, 0, 2}), gate,
                         make.uniform({3, tokens + 2, 31}).slice(1, 1, tokens + 1), weight, Twin<B>{});
            }
            agree<B>("adding rows", make, 4.0 * approx::of(dtype, 31), add, make.uniform({3, columns}), gate,
                     make.uniform({3, 31}), weight, make.uniform({columns}));
        }
    }
    const auto with = [&](const Extents& residual, const Extents& gate) {
        return B::gemm_add(make.uniform(residual).tested, make.uniform(gate).tested, make.uniform({2, 3}).tested,
                           make.uniform({3, 4}).tested, {}, {});
    };
    CHECK_THROWS_AS(static_cast<void>(with({2, 3}, {4})), Error);
    CHECK_THROWS_AS(static_cast<void>(with({1, 4}, {4})), Error);
    CHECK_THROWS_AS(static_cast<void>(with({2, 4}, {3})), Error);
    CHECK_THROWS_AS(static_cast<void>(with({2, 4}, {3, 4})), Error);
}

}  // namespace flowfar::testing
