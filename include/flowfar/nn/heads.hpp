#pragma once

#include "flowfar/core/rearrange.hpp"

namespace flowfar {

/// Queries, keys and values, each [batch, heads, tokens, head size]: views of a packed projection.
template <AnyTensor X>
struct Heads {
    X query;
    X key;
    X value;
};

/// Splits a packed projection [batch, tokens, 3·heads·size], laid out (3, heads, size), without copying.
template <Index Count, AnyTensor X>
[[nodiscard]] auto split_heads(const X& packed) {
    static_assert(X::Shape::at(-1) % (3 * Count) == 0, "split_heads: the number of heads must divide the width");
    constexpr Index size = X::Shape::at(-1) / (3 * Count);
    const Index batch = packed.extent(0);
    const Index tokens = packed.extent(1);
    const auto five = reshape<dyn, dyn, 3, Count, size>(packed, batch, tokens);
    using Split = WithShape<X, Shape<dyn, Count, dyn, size>>;
    const auto part = [&]<Index Which>() {
        const auto one = slice<2, Which, Which + 1>(five);
        return permute<0, 2, 1, 3>(reshape<dyn, dyn, Count, size>(one, batch, tokens));
    };
    return Heads<Split> { part.template operator()<0>(), part.template operator()<1>(), part.template operator()<2>() };
}

/// [batch, tokens, heads·size] → [batch, heads, tokens, size], without copying.
template <Index Count, AnyTensor X>
[[nodiscard]] auto heads_of(const X& x) {
    static_assert(X::Shape::at(-1) % Count == 0, "heads_of: the number of heads must divide the width");
    constexpr Index size = X::Shape::at(-1) / Count;
    return permute<0, 2, 1, 3>(reshape<dyn, dyn, Count, size>(x, x.extent(0), x.extent(1)));
}

/// [batch, heads, tokens, size] → [batch, tokens, heads·size].
template <AnyTensor X>
[[nodiscard]] auto merge_heads(const X& x) {
    constexpr Index width = X::Shape::at(1) * X::Shape::at(3);
    return reshape<dyn, dyn, width>(permute<0, 2, 1, 3>(x), x.extent(0), x.extent(2));
}

}  // namespace flowfar
