#pragma once

#include <algorithm>

#include "flowfar/core/handle.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar {

/// The run-time sizes of an attention: queries [batch, heads, queries, width], keys and values [batch, heads, keys,
/// width].
struct AttentionShape {
    Index batch;
    Index heads;
    Index queries;
    Index keys;
    Index width;
    MaskKind mask = MaskKind::full;

    /// Throws unless the three fit together.
    [[nodiscard]] static AttentionShape of(const Handle& q, const Handle& k, const Handle& v, MaskKind mask) {
        const Extents& a = q.extents();
        const Extents& b = k.extents();
        require(a.rank() == 4 && b.rank() == 4 && b == v.extents() && a[0] == b[0] && a[1] == b[1] && a[3] == b[3],
                "attention: queries ", a, ", keys ", b, " and values ", v.extents(), " do not fit");
        return {a[0], a[1], a[2], b[2], a[3], mask};
    }

    /// Pairs of a batch element and a head; each is an attention of its own.
    [[nodiscard]] constexpr Index pairs() const { return batch * heads; }
    /// Where the rows of a pair begin in a tensor [batch, heads, tokens, width], in elements from its first.
    [[nodiscard]] Index offset(const Handle& h, Index pair) const {
        return pair / heads * h.layout.stride(0) + pair % heads * h.layout.stride(1);
    }
    [[nodiscard]] Extents query_extents() const { return {batch, heads, queries, width}; }
    [[nodiscard]] Extents key_extents() const { return {batch, heads, keys, width}; }
    /// Of the log-sum-exp: one number per query.
    [[nodiscard]] Extents row_extents() const { return {batch, heads, queries, 1}; }
    /// How many of the keys a query sees: the first so many.
    [[nodiscard]] constexpr Index visible(Index query) const {
        return mask == MaskKind::causal ? std::clamp<Index>(query + 1 + keys - queries, 0, keys) : keys;
    }
    /// How many of `count` keys from `first` on.
    [[nodiscard]] constexpr Index visible(Index query, Index first, Index count) const {
        return std::clamp<Index>(visible(query) - first, 0, count);
    }
};

}  // namespace flowfar
