#pragma once

/// Attention of a backend against the reference.

#include <algorithm>

#include "flowfar/core/ops.hpp"

#include "twin.hpp"

namespace flowfar::testing {

/// Compares output and gradients for one set of operands. `keys` [batch, keys] hides those where it is 0; empty: none.
template <class B>
void check_attention_of(Maker<B>& make, const std::string& what, const Twin<B>& q, const Twin<B>& k, const Twin<B>& v,
                        bool one_hot = false, const std::vector<Index>& keys = {}) {
    const auto key_mask = [&keys, extents = Extents{k.extents()[0], k.extents()[2]}](auto b) {
        return keys.empty() ? decltype(b.from_host(keys.data(), extents, DType::i64)){}
                            : b.from_host(keys.data(), extents, DType::i64);
    };
    const double scale = 1.0 / std::sqrt(static_cast<double>(q.extents()[3]));
    for (const MaskKind mask : {MaskKind::full, MaskKind::causal}) {
        const std::string name =
            text(what, mask == MaskKind::causal ? " causal" : " full", ": q ", q.extents(), ", k ", k.extents());
        const double tolerance = 2.0 * approx::of(make.dtype(), k.extents()[2] + q.extents()[3]);
        agree<B>(
            name, make, tolerance,
            [=](auto b, const auto& hq, const auto& hk, const auto& hv) {
                return b.attention(hq, hk, hv, scale, mask, key_mask(b)).output;
            },
            q, k, v);
        // Output in bf16 is rounded before the backward pass uses it; sums over all queries and keys follow.
        agree<B>(
            "backward of " + name, make, 8.0 * tolerance,
            [=](auto b, const auto& hq, const auto& hk, const auto& hv, const auto& g) {
                const auto y = b.attention(hq, hk, hv, scale, mask, key_mask(b));
                const auto d = b.attention_backward(hq, hk, hv, y, g, scale, mask, key_mask(b));
                using H = std::remove_cvref_t<decltype(hq)>;
                // With a single key, or one that outweighs all others, the gradients of q and k are zero: rounding is
                // all there is.
                return hk.extents()[2] > 1 && !one_hot ? std::vector{d.query, d.key, d.value} : std::vector<H>{d.value};
            },
            q, k, v, make.uniform(q.extents()));
    }
}

template <class B>
void check_attention(DType dtype) {
    Maker<B> make(dtype, 501);
    struct Size {
        Index batch, heads, queries, keys, depth;
    };
    const Size sizes[] = {{1, 1, 1, 1, 1},       {2, 3, 1, 31, 32},     {1, 2, 31, 33, 64},   {2, 1, 33, 31, 5},
                          {1, 2, 33, 1, 8},      {1, 2, 128, 129, 32},  {1, 1, 129, 128, 96}, {2, 2, 129, 129, 72},
                          {1, 1, 600, 600, 64},  {1, 2, 5, 600, 96},    {1, 1, 600, 5, 32},   {1, 1, 512, 513, 16},
                          {1, 1, 130, 1100, 24}, {3, 0, 4, 5, 8},       {0, 3, 4, 5, 8},      {2, 2, 0, 5, 8},
                          {2, 2, 5, 0, 8},       {1, 1, 1100, 130, 24}, {2, 3, 4, 4, 1}};
    for (const Size& s : sizes) {
        check_attention_of<B>(make, "attention", make.uniform({s.batch, s.heads, s.queries, s.depth}, -2.0, 2.0),
                              make.uniform({s.batch, s.heads, s.keys, s.depth}, -2.0, 2.0),
                              make.uniform({s.batch, s.heads, s.keys, s.depth}));
    }
}

/// Heads of queries that share keys, and keys that are hidden: the first ones of a row, the last ones, some, all.
template <class B>
void check_grouped_and_masked_attention(DType dtype) {
    Maker<B> make(dtype, 507);
    struct Size {
        Index heads, key_heads, queries, keys, depth;
    };
    for (const Size& s : {Size{6, 2, 9, 9, 8}, {4, 1, 130, 131, 32}, {2, 2, 40, 600, 24}, {12, 2, 7, 70, 64}}) {
        constexpr Index batch = 4;
        std::vector<Index> mask(static_cast<std::size_t>(batch * s.keys), 1);
        for (Index key = 0; key < s.keys; ++key) {
            const auto hide = [&](Index row) { mask[static_cast<std::size_t>(row * s.keys + key)] = 0; };
            if (key < s.keys / 3) {
                hide(0);
            }
            if (key > s.keys / 2) {
                hide(1);
            }
            if (make.engine()() % 3 == 0) {
                hide(2);
            }
            hide(3);
        }
        const auto q = make.uniform({batch, s.heads, s.queries, s.depth}, -2.0, 2.0);
        const auto k = make.uniform({batch, s.key_heads, s.keys, s.depth}, -2.0, 2.0);
        const auto v = make.uniform({batch, s.keys, s.key_heads, s.depth}).permute({0, 2, 1, 3});
        check_attention_of<B>(make, "shared keys", q, k, v);
        check_attention_of<B>(make, "hidden keys", q, k, v, false, mask);
    }
}

template <class B>
void check_attention_views(DType dtype) {
    Maker<B> make(dtype, 502);
    for (const Index depth : {1, 32, 72}) {
        // As a fused projection gives it: [batch, tokens, 3, heads, D].
        const Twin<B> packed = make.uniform({2, 37, 3, 4, depth}, -1.5, 1.5).permute({2, 0, 3, 1, 4});
        const auto part = [&](Index i) { return packed.slice(0, i, i + 1).reshape({2, 4, 37, depth}); };
        check_attention_of<B>(make, "packed", part(0), part(1), part(2));
    }
    const Twin<B> q = make.uniform({2, 3, 5, 8});
    check_attention_of<B>(make, "keys shared by the batch", q, make.uniform({1, 3, 7, 8}).expand({2, 3, 7, 8}),
                          make.uniform({1, 1, 7, 8}).expand({2, 3, 7, 8}));
    check_attention_of<B>(make, "one query repeated", make.uniform({2, 3, 1, 8}).expand({2, 3, 5, 8}),
                          make.uniform({2, 3, 7, 8}), make.uniform({2, 3, 7, 8}));
    check_attention_of<B>(make, "channels in the first place", make.uniform({8, 2, 3, 5}).permute({1, 2, 3, 0}),
                          make.uniform({8, 2, 3, 7}).permute({1, 2, 3, 0}), make.uniform({2, 3, 7, 8}));
    check_attention_of<B>(make, "a slice of the tokens", make.uniform({2, 3, 9, 8}).slice(2, 2, 7),
                          make.uniform({2, 3, 20, 8}).slice(2, 3, 16),
                          make.uniform({2, 3, 20, 12}).slice(2, 3, 16).slice(3, 2, 10));
}

/// Logits far apart and far from zero: the peak must be subtracted before the exponential, also across key blocks.
template <class B>
void check_attention_range() {
    Maker<B> make(DType::f32, 503);
    check_attention_of<B>(make, "large logits", make.uniform({1, 1, 9, 4}, 20.0, 24.0),
                          make.uniform({1, 1, 700, 4}, -20.0, 20.0), make.uniform({1, 1, 700, 4}), true);
    std::vector<double> rising(1200);
    for (std::size_t j = 0; j < rising.size(); ++j) {
        rising[j] = 0.03125 * static_cast<double>(j);  // the peak moves on in every block
    }
    check_attention_of<B>(make, "rising logits", make.uniform({1, 1, 3, 1}, 0.5, 1.0),
                          make.from(rising, {1, 1, 1200, 1}), make.uniform({1, 1, 1200, 1}));
}

/// Queries of several heads that share keys and values give what each head gives alone; a bias that hides keys gives
/// what the remaining keys give.
template <class B>
void check_shared_and_biased_attention() {
    using Heads = Tensor<B, Shape<dyn, dyn, dyn, 8>>;
    const auto q = Heads::normal({2, 6, 4, 8}, 504);
    const auto k = Heads::normal({2, 2, 7, 8}, 505);
    const auto v = Heads::normal({2, 2, 7, 8}, 506);
    const auto near = [](const Heads& a, const Heads& b) {
        REQUIRE(a.extents() == b.extents());
        const auto x = a.to_host();
        const auto y = b.to_host();
        bool same = true;
        for (std::size_t i = 0; i < x.size(); ++i) {
            same = same && std::abs(x[i] - y[i]) < 1e-5F;
        }
        CHECK(same);
    };
    for (const MaskKind mask : {MaskKind::full, MaskKind::causal}) {
        const Heads all = attention(q, k, v, 0.4, mask);
        for (Index head = 0; head < 6; ++head) {
            const auto one = [](const Heads& x, Index i) { return Heads(slice<1>(x, i, i + 1)); };
            near(one(all, head), attention(one(q, head), one(k, head / 3), one(v, head / 3), 0.4, mask));
        }
    }
    std::vector<float> hidden(7, 0.0F);
    std::fill(hidden.begin() + 3, hidden.end(), -1e30F);
    const auto bias = Tensor<B, Shape<1, 1, 1, 7>>::from_host(hidden, {1, 1, 1, 7});
    const Heads some(slice<1>(q, 0, 2));
    near(biased_attention(some, k, v, bias, 0.4),
         attention(some, Heads(slice<2>(k, 0, 3)), Heads(slice<2>(v, 0, 3)), 0.4));
}

}  // namespace flowfar::testing
