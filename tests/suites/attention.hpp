#pragma once

/// Attention of a backend against the reference.

#include "twin.hpp"

namespace flowfar::testing {

/// Compares output and gradients for one set of operands.
template <class B>
void check_attention_of(Maker<B>& make, const std::string& what, const Twin<B>& q, const Twin<B>& k, const Twin<B>& v,
                        bool one_hot = false) {
    const double scale = 1.0 / std::sqrt(static_cast<double>(q.extents()[3]));
    for (const MaskKind mask : {MaskKind::full, MaskKind::causal}) {
        const std::string name =
            text(what, mask == MaskKind::causal ? " causal" : " full", ": q ", q.extents(), ", k ", k.extents());
        const double tolerance = 2.0 * approx::of(make.dtype(), k.extents()[2] + q.extents()[3]);
        agree<B>(
            name, make, tolerance,
            [=](auto b, const auto& hq, const auto& hk, const auto& hv) {
                return b.attention(hq, hk, hv, scale, mask).output;
            },
            q, k, v);
        // Output in bf16 is rounded before the backward pass uses it; sums over all queries and keys follow.
        agree<B>(
            "backward of " + name, make, 8.0 * tolerance,
            [=](auto b, const auto& hq, const auto& hk, const auto& hv, const auto& g) {
                const auto y = b.attention(hq, hk, hv, scale, mask);
                const auto d = b.attention_backward(hq, hk, hv, y, g, scale, mask);
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

}  // namespace flowfar::testing
