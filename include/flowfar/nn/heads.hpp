#pragma once

#include <array>

#include "flowfar/core/ops.hpp"
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

/// The operand of a backend's `joint_heads` that a sequence and its attention weights make.
template <class Weights, AnyTensor X>
[[nodiscard]] HeadSource<typename X::Handle> head_source(const Weights& weights, const X& x) {
    return {x.operand("joint_heads"), weights.qkv.weight.operand("joint_heads"),
            weights.qkv.bias.optional_operand("joint_heads"), weights.query_norm.scale.operand("joint_heads"),
            weights.key_norm.scale.operand("joint_heads")};
}
/// Queries and keys, normalized and turned, and values of two sequences one after another, where a backend joins_heads.
template <Index Count, class Weights, AnyTensor X, class Table>
[[nodiscard]] auto joint_heads(const Weights& first_weights, const X& first, const Weights& second_weights,
                               const X& second, const Table& table) {
    using B = typename X::Backend;
    using Split = WithShape<X, Shape<dyn, Count, dyn, Weights::head_size>>;
    const std::array<HeadSource<typename B::Handle>, 2> sources{head_source(first_weights, first),
                                                                head_source(second_weights, second)};
    const auto found =
        B::joint_heads(sources, table.cos.operand("joint_heads"), table.sin.operand("joint_heads"), Count);
    return Heads<Split>{Split(found.query), Split(found.key), Split(found.value)};
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

/// Keys and values of the tokens that an attention has seen, [batch, heads, tokens, size] each, with room for those to
/// come: what a causal transformer need not compute again. X is the type of both, on a plain backend.
template <AnyTensor X>
class KeyCache {
   public:
    using B = typename X::Backend;

    /// Room for `capacity` tokens in each of `batch` sequences.
    KeyCache(Index batch, Index capacity)
        : keys_(B::empty({batch, X::Shape::at(1), capacity, X::Shape::at(3)}, dtype_of<typename X::Element>)),
          values_(B::empty({batch, X::Shape::at(1), capacity, X::Shape::at(3)}, dtype_of<typename X::Element>)) {}

    /// Adds those of the next tokens. Throws `Error` if there is no room.
    void append(const X& key, const X& value) {
        const Index end = tokens_ + key.extent(2);
        require(end <= keys_.extent(2), "KeyCache: ", end, " tokens, but room for ", keys_.extent(2));
        B::assign(B::slice(keys_.handle(), 2, tokens_, end), key.handle());
        B::assign(B::slice(values_.handle(), 2, tokens_, end), value.handle());
        tokens_ = end;
    }
    /// Those of all tokens so far: views.
    [[nodiscard]] X keys() const { return X(slice<2>(keys_, 0, tokens_)); }
    [[nodiscard]] X values() const { return X(slice<2>(values_, 0, tokens_)); }
    [[nodiscard]] Index tokens() const { return tokens_; }

   private:
    X keys_;
    X values_;
    Index tokens_ = 0;
};

}  // namespace flowfar
