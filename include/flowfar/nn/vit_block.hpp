#pragma once

#include <cmath>

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

    /// x [batch, tokens, hidden] → [batch, tokens − skip, hidden]: the first `skip` tokens are attended to, but their
    /// own results are not computed.
    [[nodiscard]] Sequence operator()(const Sequence& x, Index skip = 0, const BlockDropout& dropout = {}) const {
        const Index tokens = x.extent(1);
        auto heads = split_heads<HeadCount>(qkv(norm1.packed(x)));
        if (skip > 0) {
            heads.query = slice<2>(heads.query, skip, tokens);
        }
        const Dropout drop{dropout.projection, dropout.seed};
        const Sequence kept = skip > 0 ? Sequence(slice<1>(x, skip, tokens)) : x;
        const Sequence attended = attend(heads, {dropout.attention, dropout.seed});
        if (!drop.active()) {
            const Tensor<B, Shape<Hidden>, T> gate;  // absent
            const Sequence y = proj.add(kept, gate, attended);
            return fc2.add(y, gate, fc1.packed(norm2.packed(y), Activation::gelu_erf));
        }
        const Sequence y = kept + drop.at("proj")(proj(attended));
        const auto inner = drop.at("fc1")(fc1(norm2(y), Activation::gelu_erf));
        return y + drop.at("fc2")(fc2(inner));
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
    template <class H>
    [[nodiscard]] static Sequence attend(const H& heads, const Dropout& dropout) {
        const double scale = 1.0 / std::sqrt(static_cast<double>(Hidden / HeadCount));
        if (!dropout.active()) {
            return merge_heads(attention(heads.query, heads.key, heads.value, scale));
        }
        const auto weights = softmax(matmul(heads.query, transpose(heads.key), scale));
        return merge_heads(
            as<Shape<dyn, HeadCount, dyn, Hidden / HeadCount>>(matmul(dropout.at("attention")(weights), heads.value)));
    }
};

}  // namespace flowfar
