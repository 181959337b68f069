#pragma once

#include <cmath>
#include <cstddef>

#include "flowfar/nn/heads.hpp"
#include "flowfar/nn/linear.hpp"

namespace flowfar {

/// A transformer block that also looks at a context: x += Attn(LN(x)), x += Attn(LN(x), context), x += MLP(LN(x)), with
/// the parameter names of diffusers' BasicTransformerBlock. The norms have no parameters, ε 1e-5; biases everywhere,
/// GELU (tanh).
///
///     CrossBlock<B, 128, 4, 32, 1536> block;    // 4 heads of 32
///     x = block(x, block.keys_of(context));   // [n, tokens, 128]
template <class B, Index Hidden, Index HeadCount, Index HeadSize, Index ContextWidth, class T = float,
          Index Inner = 4 * Hidden>
struct CrossBlock {
    using Backend = B;
    static constexpr Index width = HeadCount * HeadSize;
    using Sequence = Tensor<B, Shape<dyn, dyn, Hidden>, T>;            // [batch, tokens, hidden]
    using Context = Tensor<B, Shape<dyn, dyn, ContextWidth>, T>;       // [batch, context tokens, context width]
    using Split = Tensor<B, Shape<dyn, HeadCount, dyn, HeadSize>, T>;  // [batch, heads, tokens, head size]

    /// What a context is to this block; it may be used for many sequences.
    struct Keys {
        Split key;
        Split value;
    };

    struct SelfAttention {
        using Backend = B;
        Linear<B, Hidden, width, T> query;
        Linear<B, Hidden, width, T> key;
        Linear<B, Hidden, width, T> value;
        Linear<B, width, Hidden, T> out;

        template <class Self, class V>
        static void visit(Self& self, V&& v) {
            v("to_q", self.query);
            v("to_k", self.key);
            v("to_v", self.value);
            v("to_out.0", self.out);
        }
    };
    struct CrossAttention {
        using Backend = B;
        Linear<B, Hidden, width, T> query;
        Linear<B, ContextWidth, width, T> key;
        Linear<B, ContextWidth, width, T> value;
        Linear<B, width, Hidden, T> out;

        template <class Self, class V>
        static void visit(Self& self, V&& v) {
            SelfAttention::visit(self, v);
        }
    };

    SelfAttention own;
    CrossAttention cross;
    Linear<B, Hidden, Inner, T> up;
    Linear<B, Inner, Hidden, T> down;

    [[nodiscard]] Keys keys_of(const Context& context) const {
        return {Split(heads_of<HeadCount>(cross.key(context))), Split(heads_of<HeadCount>(cross.value(context)))};
    }

    /// x [batch, tokens, hidden] → the same shape.
    [[nodiscard]] Sequence operator()(const Sequence& x, const Keys& context) const {
        const Tensor<B, Shape<Hidden>, T> always;  // a gate of 1
        const Sequence a = normed(x);
        const Sequence y = own.out.add(
            x, always,
            attend(own.query(a), {Split(heads_of<HeadCount>(own.key(a))), Split(heads_of<HeadCount>(own.value(a)))}));
        const Sequence z = cross.out.add(y, always, attend(cross.query(normed(y)), context));
        return down.add(z, always, up.packed(normed(z), Activation::gelu_tanh));
    }

    /// Weights xavier uniform, biases 0.
    void initialize(std::uint64_t seed) {
        visit(*this, [&](std::string_view name, auto& member) {
            if constexpr (requires { member.weight; }) {
                init::xavier_linear(member, fold(seed, name));
            } else {
                std::remove_cvref_t<decltype(member)>::visit(member, [&](std::string_view inner, auto& layer) {
                    init::xavier_linear(layer, fold(fold(seed, name), inner));
                });
            }
        });
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("attn1", self.own);
        v("attn2", self.cross);
        v("ff.net.0.proj", self.up);
        v("ff.net.2", self.down);
    }

   private:
    [[nodiscard]] static Sequence normed(const Sequence& x) {
        const Tensor<B, Shape<Hidden>, T> absent;
        return layer_norm(x, absent, absent, {.epsilon = 1e-5});
    }
    [[nodiscard]] static auto attend(const Tensor<B, Shape<dyn, dyn, width>, T>& queries, const Keys& keys) {
        const double scale = 1.0 / std::sqrt(static_cast<double>(HeadSize));
        return merge_heads(attention(Split(heads_of<HeadCount>(queries)), keys.key, keys.value, scale));
    }
};

}  // namespace flowfar
