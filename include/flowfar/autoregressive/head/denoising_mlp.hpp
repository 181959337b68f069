#pragma once

#include <vector>

#include "flowfar/nn/blocks.hpp"
#include "flowfar/nn/embedding.hpp"
#include "flowfar/nn/linear.hpp"
#include "flowfar/nn/mlp.hpp"
#include "flowfar/nn/norm.hpp"

namespace flowfar {

/// One residual block of the denoising MLP: x += gate ∘ MLP(LN(x)(1 + scale) + shift), modulated per row.
template <class B, Index Width, class T>
struct DenoisingBlock {
    using Backend = B;
    using Rows = Tensor<B, Shape<dyn, Width>, T>;

    LayerNorm<B, Width, T> in_ln;
    Mlp<B, Width, Width, Activation::silu, T> mlp;
    Linear<B, Width, 3 * Width, T> modulation;

    /// x and `activated`, SiLU of the condition: [rows, width] each.
    [[nodiscard]] Rows operator()(const Rows& x, const Rows& activated) const {
        const auto m = modulation(activated);  // shift, scale, gate
        const auto h = modulated_layer_norm_packed(x, in_ln.weight, in_ln.bias, slice<1, Width, 2 * Width>(m),
                                                   slice<1, 0, Width>(m), in_ln.epsilon);
        return mlp.add(x, slice<1, 2 * Width, 3 * Width>(m), h);
    }
    void initialize(std::uint64_t seed) {
        in_ln.initialize(0);
        init::xavier_linear(mlp.up, fold(seed, "mlp.0"));
        init::xavier_linear(mlp.down, fold(seed, "mlp.2"));
        init::zero_linear(modulation);
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("in_ln", self.in_ln);
        v("mlp", self.mlp);
        v("adaLN_modulation.1", self.modulation);
    }
};

/// The small network that denoises one continuous token (Li et al. 2024, "Autoregressive image generation without
/// vector quantization"): Channels values per row, conditioned on a vector of width Condition, a diffusion step and,
/// for FAR, a frequency level. Output: ε, then v, [rows, 2·Channels].
template <class B, Index Channels, Index Condition, Index Width, class T = float>
struct DenoisingMlp {
    using Backend = B;
    using Rows = Tensor<B, Shape<dyn, Channels>, T>;
    using Conditions = Tensor<B, Shape<dyn, Condition>, T>;
    using Hidden = Tensor<B, Shape<dyn, Width>, T>;
    using Output = Tensor<B, Shape<dyn, 2 * Channels>, T>;
    using Scalars = Tensor<B, Shape<dyn, 1>, T>;
    using Block = DenoisingBlock<B, Width, T>;

    TimeEmbedding<B, Width, T> time_embed;
    Linear<B, Condition, Width, T> cond_embed;
    Linear<B, 1, Width, T> index_cond_embed;  ///< absent in a network without level condition (MAR)
    Linear<B, Channels, Width, T> input_proj;
    std::vector<Block> res_blocks;
    Linear<B, Width, 2 * Channels, T> linear;
    Linear<B, Width, 2 * Width, T> modulation;

    explicit DenoisingMlp(Index depth, bool level_condition = true) : res_blocks(make_blocks<Block>(depth)) {
        if (!level_condition) {
            index_cond_embed.weight = {};
            index_cond_embed.bias = {};
        }
    }

    /// Embedding of steps t [n], numbered as in training → [n, width].
    [[nodiscard]] Hidden times(const Tensor<B, Shape<dyn>, T>& t) const { return time_embed(t, 1.0); }
    /// The condition without the time: z [rows, condition]; level [rows, 1] or [1, 1], or absent → [rows, width].
    [[nodiscard]] Hidden condition(const Conditions& z, const Scalars& level) const {
        const Hidden embedded = cond_embed(z);
        return level.defined() && !index_cond_embed.weight.absent() ? embedded + index_cond_embed(level) : embedded;
    }
    [[nodiscard]] Hidden project(const Rows& x) const { return input_proj(x); }

    /// x [rows, channels] at condition y [rows, width], the sum of `condition` and `times`.
    [[nodiscard]] Output operator()(const Rows& x, const Hidden& y) const { return projected(project(x), y); }
    /// The output for `project(x)`.
    [[nodiscard]] Output projected(const Hidden& x, const Hidden& y) const {
        const Hidden activated = silu(y);
        Hidden h = x;
        for (const Block& block : res_blocks) {
            h = block(h, activated);
        }
        const auto m = modulation(activated);  // shift, scale
        return linear(layer_norm_packed(h, slice<1, Width, 2 * Width>(m), slice<1, 0, Width>(m), {.plus_one = true}));
    }

    /// Weights xavier uniform, biases 0, time embedding N(0, 0.02²), modulations and output 0.
    void initialize(std::uint64_t seed) {
        init::normal(time_embed.in_layer.weight, 0.02, fold(seed, "time_embed.mlp.0"));
        init::constant(time_embed.in_layer.bias, 0.0);
        init::normal(time_embed.out_layer.weight, 0.02, fold(seed, "time_embed.mlp.2"));
        init::constant(time_embed.out_layer.bias, 0.0);
        init::xavier_linear(cond_embed, fold(seed, "cond_embed"));
        if (!index_cond_embed.weight.absent()) {
            init::xavier_linear(index_cond_embed, fold(seed, "index_cond_embed"));
        }
        init::xavier_linear(input_proj, fold(seed, "input_proj"));
        for (std::size_t i = 0; i < res_blocks.size(); ++i) {
            res_blocks[i].initialize(fold(fold(seed, "res_blocks"), i));
        }
        init::zero_linear(linear);
        init::zero_linear(modulation);
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("time_embed.mlp.0", self.time_embed.in_layer);
        v("time_embed.mlp.2", self.time_embed.out_layer);
        v("cond_embed", self.cond_embed);
        v("index_cond_embed", self.index_cond_embed);
        v("input_proj", self.input_proj);
        v("res_blocks", self.res_blocks);
        v("final_layer.linear", self.linear);
        v("final_layer.adaLN_modulation.1", self.modulation);
    }
};

}  // namespace flowfar
