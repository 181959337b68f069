#pragma once

#include <cmath>
#include <span>

#include "flowfar/core/derived/block_attention.hpp"
#include "flowfar/nn/dropout.hpp"
#include "flowfar/nn/heads.hpp"
#include "flowfar/nn/linear.hpp"
#include "flowfar/nn/norm.hpp"

namespace flowfar {

/// Dropout rates of a transformer block in training, and the seed of its masks.
struct BlockDropout {
    double attention = 0.0;   ///< on the attention weights
    double projection = 0.0;  ///< on the results of the attention's projection and of both MLP layers
    std::uint64_t seed = 0;

    [[nodiscard]] BlockDropout at(std::uint64_t number) const { return {attention, projection, fold(seed, number)}; }
};

/// Which tokens of a sequence see which: all, or those up to themselves, or, with `blocks`, those of their own block
/// and of earlier ones; `blocks` are the blocks' ends.
struct Visibility {
    MaskKind kind = MaskKind::full;
    std::span<const Index> blocks = {};
};

/// The pre-norm block of a vision transformer (Dosovitskiy et al. 2021): x += Attn(LN(x)), x += MLP(LN(x)), with the
/// parameter names of timm. ε 1e-6, biases everywhere, softmax scale 1/√head size, GELU (erf), MLPs of width Inner.
///
///     VitBlock<B, 128, 4> block;   // 4 heads
///     x = block(x);                // [n, tokens, 128]
template <class B, Index Hidden, Index HeadCount, class T = float, Index Inner = 4 * Hidden>
struct VitBlock {
    static_assert(Hidden % HeadCount == 0, "VitBlock: the number of heads must divide the hidden width");
    using Backend = B;
    using Sequence = Tensor<B, Shape<dyn, dyn, Hidden>, T>;  // [batch, tokens, hidden]

    LayerNorm<B, Hidden, T> norm1;
    Linear<B, Hidden, 3 * Hidden, T> qkv;
    Linear<B, Hidden, Hidden, T> proj;
    LayerNorm<B, Hidden, T> norm2;
    Linear<B, Hidden, Inner, T> fc1;
    Linear<B, Inner, Hidden, T> fc2;

    using Split = Tensor<B, Shape<dyn, HeadCount, dyn, Hidden / HeadCount>, T>;  // [batch, heads, tokens, head size]
    using Cache = KeyCache<Split>;

    /// x [batch, tokens, hidden] → [batch, tokens − skip, hidden]: the first `skip` tokens are attended to, but their
    /// own results are not computed.
    [[nodiscard]] Sequence operator()(const Sequence& x, Index skip = 0, const BlockDropout& dropout = {},
                                      const Visibility& seen = {}) const {
        const Index tokens = x.extent(1);
        auto heads = split_heads<HeadCount>(qkv(norm1.packed(x)));
        if (skip > 0) {
            heads.query = slice<2>(heads.query, skip, tokens);
        }
        const Sequence kept = skip > 0 ? Sequence(slice<1>(x, skip, tokens)) : x;
        return with_mlp(kept, attend(heads, {dropout.attention, dropout.seed}, seen), dropout);
    }

    /// The results of the tokens x [batch, tokens, hidden] that come after those of the cache, which they see; among
    /// themselves they see each other as `mask` says. The cache then holds them, too.
    [[nodiscard]] Sequence continued(const Sequence& x, Cache& cache, MaskKind mask) const {
        const auto heads = split_heads<HeadCount>(qkv(norm1.packed(x)));
        cache.append(heads.key, heads.value);
        return with_mlp(x, merge_heads(attention(heads.query, cache.keys(), cache.values(), scale(), mask)), {});
    }

    /// Weights xavier uniform, biases 0.
    void initialize(std::uint64_t seed) {
        norm1.initialize(0);
        norm2.initialize(0);
        init::xavier_linear(qkv, fold(seed, "qkv"));
        init::xavier_linear(proj, fold(seed, "proj"));
        init::xavier_linear(fc1, fold(seed, "fc1"));
        init::xavier_linear(fc2, fold(seed, "fc2"));
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("norm1", self.norm1);
        v("attn.qkv", self.qkv);
        v("attn.proj", self.proj);
        v("norm2", self.norm2);
        v("mlp.fc1", self.fc1);
        v("mlp.fc2", self.fc2);
    }

   private:
    [[nodiscard]] static double scale() { return 1.0 / std::sqrt(static_cast<double>(Hidden / HeadCount)); }

    /// The rest of the block, from x and what its tokens attended to.
    [[nodiscard]] Sequence with_mlp(const Sequence& x, const Sequence& attended, const BlockDropout& dropout) const {
        const Dropout drop{dropout.projection, dropout.seed};
        if (!drop.active()) {
            const Tensor<B, Shape<Hidden>, T> gate;  // absent
            const Sequence y = proj.add(x, gate, attended);
            return fc2.add(y, gate, fc1.packed(norm2.packed(y), Activation::gelu_erf));
        }
        const Sequence y = x + drop.at("proj")(proj(attended));
        const auto inner = drop.at("fc1")(fc1(norm2(y), Activation::gelu_erf));
        return y + drop.at("fc2")(fc2(inner));
    }
    template <class H>
    [[nodiscard]] static Sequence attend(const H& heads, const Dropout& dropout, const Visibility& seen) {
        if (seen.blocks.empty()) {
            return merge_heads(attend_at_once(heads.query, heads.key, heads.value, dropout, seen.kind));
        }
        return merge_heads(block_causal_attention(
            heads.query, heads.key, heads.value, seen.blocks,
            [&](const auto& q, const auto& k, const auto& v, std::size_t number) {
                return attend_at_once(q, k, v, dropout.at(static_cast<std::uint64_t>(number)), MaskKind::full);
            }));
    }
    [[nodiscard]] static Split attend_at_once(const Split& q, const Split& k, const Split& v, const Dropout& dropout,
                                              MaskKind mask) {
        if (!dropout.active()) {
            return attention(q, k, v, scale(), mask);
        }
        const auto logits = matmul(q, transpose(k), scale());
        const auto weights =
            mask == MaskKind::full ? softmax(logits) : softmax(logits + causal_bias<Split>(q.extent(2), k.extent(2)));
        return as<Shape<dyn, HeadCount, dyn, Hidden / HeadCount>>(matmul(dropout.at("attention")(weights), v));
    }
};

}  // namespace flowfar
