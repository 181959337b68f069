#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"

namespace flowfar {

/// Throws `Error` unless the ends increase from above 0 to `keys`.
inline void check_block_ends(std::span<const Index> ends, Index keys) {
    Index before = 0;
    for (const Index end : ends) {
        require(end > before, "block-causal attention: a block ends at ", end, ", expected more than ", before);
        before = end;
    }
    require(before == keys, "block-causal attention: the blocks end at ", before, ", expected ", keys, " keys");
}

/// Block-causal attention: tokens come in blocks, of which `ends` are the ends, and see their own block and those
/// before it. q [batch, heads, queries, D] belong to the last tokens of k, v [batch, heads, keys, D]. `attend(q, k, v,
/// number)` is the attention of the queries of block `number` to all keys that they see; no [queries, keys] is made of
/// it all.
///
///     const std::vector<Index> ends{4, 9, 25};
///     const auto attend = [&](const auto& q, const auto& k, const auto& v, std::size_t) {
///         return attention(q, k, v, scale);
///     };
///     const auto y = block_causal_attention(q, k, v, ends, attend);
template <AnyTensor Q, AnyTensor K, AnyTensor V, class Attend>
[[nodiscard]] Q block_causal_attention(const Q& q, const K& k, const V& v, std::span<const Index> ends,
                                       Attend&& attend) {
    static_assert(Q::Shape::rank == 4 && K::Shape::at(2) == dyn && V::Shape::at(2) == dyn && Q::Shape::at(2) == dyn,
                  "block-causal attention: operands are [batch, heads, tokens, head size], with tokens of run time");
    check_block_ends(ends, k.extent(2));
    const Index first = k.extent(2) - q.extent(2);  // the key at the first query's place
    require(first >= 0, "block-causal attention: ", q.extent(2), " queries for ", k.extent(2), " keys");
    PoolVector<typename Q::Handle> parts;
    Index begin = first;
    for (std::size_t i = 0; i < ends.size(); ++i) {
        if (ends[i] <= begin) {
            continue;
        }
        const Q queries(slice<2>(q, begin - first, ends[i] - first));
        parts.push_back(Q(attend(queries, K(slice<2>(k, 0, ends[i])), V(slice<2>(v, 0, ends[i])), i)).handle());
        begin = ends[i];
    }
    if (parts.empty()) {
        return q;  // no queries
    }
    return parts.size() == 1 ? Q(parts[0]) : Q(Q::Backend::concat(std::span<const typename Q::Handle>(parts), 2));
}

/// What hides later tokens when it is added to logits [queries, keys] of causal attention, for those that are in memory
/// anyway: 0, or a number beside which e^x is exactly 0.
template <AnyTensor X>
[[nodiscard]] auto causal_bias(Index queries, Index keys) {
    using T = typename X::Element;
    std::vector<T> bias(static_cast<std::size_t>(queries * keys), T(0.0F));
    for (Index i = 0; i < queries; ++i) {
        for (Index j = std::max<Index>(0, i + (keys - queries) + 1); j < keys; ++j) {
            bias[static_cast<std::size_t>(i * keys + j)] = T(-1e30F);
        }
    }
    return WithShape<X, Shape<dyn, dyn>>::from_host(bias, {queries, keys});
}

}  // namespace flowfar
