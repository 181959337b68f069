#pragma once

#include <algorithm>

#include "flowfar/core/handle.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar {

/// Whether `heads` of queries can share `key_heads` of keys and values: each of these serves equally many.
[[nodiscard]] constexpr bool heads_fit(Index heads, Index key_heads) {
    return heads == key_heads || (key_heads > 0 && heads >= key_heads && heads % key_heads == 0);
}

/// The run-time sizes of an attention: queries [batch, heads, queries, width], keys and values [batch, key heads, keys,
/// width]. Several heads of queries in a row share one of keys and values if there are fewer of those.
struct AttentionShape {
    Index batch;
    Index heads;
    Index key_heads;
    Index queries;
    Index keys;
    Index width;
    MaskKind mask = MaskKind::full;
    const Index* counts = nullptr;  ///< [batch, queries]: how many of the first keys each query sees; overrides `mask`

    /// Throws unless the three fit together.
    [[nodiscard]] static AttentionShape of(const Handle& q, const Handle& k, const Handle& v, MaskKind mask) {
        const Extents& a = q.extents();
        const Extents& b = k.extents();
        require(
            a.rank() == 4 && b.rank() == 4 && b == v.extents() && a[0] == b[0] && a[3] == b[3] && heads_fit(a[1], b[1]),
            "attention: queries ", a, ", keys ", b, " and values ", v.extents(), " do not fit");
        return {a[0], a[1], b[1], a[2], b[2], a[3], mask};
    }

    /// Pairs of a batch element and a head; each is an attention of its own.
    [[nodiscard]] constexpr Index pairs() const { return batch * heads; }
    /// Pairs of a batch element and a head of keys.
    [[nodiscard]] constexpr Index key_pairs() const { return batch * key_heads; }
    /// Heads of queries that share one of keys.
    [[nodiscard]] constexpr Index group() const { return key_heads == 0 ? 1 : heads / key_heads; }
    /// The keys of a pair: pairs of a group follow each other.
    [[nodiscard]] constexpr Index key_pair(Index pair) const { return pair / group(); }

    /// Where the rows of a pair begin in a tensor [batch, heads, tokens, width], in elements from its first.
    [[nodiscard]] Index offset(const Handle& h, Index pair) const { return offset(h, pair, heads); }
    /// Where those of a pair of keys or values begin in a tensor [batch, key heads, keys, width].
    [[nodiscard]] Index key_offset(const Handle& h, Index key_pair) const { return offset(h, key_pair, key_heads); }
    [[nodiscard]] Extents query_extents() const { return {batch, heads, queries, width}; }
    [[nodiscard]] Extents key_extents() const { return {batch, key_heads, keys, width}; }
    /// Of the log-sum-exp: one number per query.
    [[nodiscard]] Extents row_extents() const { return {batch, heads, queries, 1}; }
    /// How many of the keys a query of a pair sees: the first so many. It does not fall from query to query.
    [[nodiscard]] constexpr Index visible(Index pair, Index query) const {
        return counts != nullptr          ? counts[pair / heads * queries + query]
               : mask == MaskKind::causal ? std::clamp<Index>(query + 1 + keys - queries, 0, keys)
                                          : keys;
    }
    /// How many of `count` keys from `first` on.
    [[nodiscard]] constexpr Index visible(Index pair, Index query, Index first, Index count) const {
        return std::clamp<Index>(visible(pair, query) - first, 0, count);
    }

   private:
    [[nodiscard]] static Index offset(const Handle& h, Index pair, Index each) {
        return pair / each * h.layout.stride(0) + pair % each * h.layout.stride(1);
    }
};

}  // namespace flowfar
