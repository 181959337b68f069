#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "flowfar/core/derived/classes.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/maskgit/config.hpp"
#include "flowfar/maskgit/sample.hpp"
#include "flowfar/nn/blocks.hpp"
#include "flowfar/nn/vit_block.hpp"
#include "flowfar/quantize/tokens.hpp"

namespace flowfar {

/// Training-only behavior of the transformer.
struct MaskGitRunOptions {
    BlockDropout dropout;
    bool checkpoint_blocks = false;  ///< recompute blocks in the backward pass to save memory
};

/// A masked generator of tokens (MaskGIT, arXiv 2202.04200) without an embedding table (MaskBit, arXiv 2409.16211): the
/// transformer sees the values of the known codewords, zeros for hidden ones, and the class, and predicts all codewords
/// at once. Configuration C (maskgit/config.hpp), backend B, element type T. Inference on a const model from several
/// threads is safe on the CPU. Parameters are unset until `initialize` or a loader fills them.
///
///     using Model = flowfar::MaskGit<flowfar::MaskGit172M, flowfar::Cpu>;
///     const auto model = flowfar::load<Model>("tokens_lo.safetensors");                  // flowfar/io.hpp
///     const flowfar::Tokens tokens = model.generate({207, 360}, {.seed = 7});            // for FlowMo::decode
template <class C, class B, class T>
class MaskGit {
   public:
    using Config = CheckedMaskGitConfig<C>;
    using Backend = B;
    using Element = T;
    using Codebook = typename C::Codebook;
    static constexpr Index positions = Config::positions;
    static constexpr Index codewords = Config::codewords;
    using Inputs = Tensor<B, Shape<dyn, C::tokens, Config::values>, T>;
    using Sequence = Tensor<B, Shape<dyn, dyn, C::hidden>, T>;
    using Logits = Tensor<B, Shape<dyn, C::tokens, C::groups, codewords>, T>;
    using Integers = Tensor<B, Shape<dyn>, Index>;
    using Block = VitBlock<B, C::hidden, C::heads, T>;
    using Run = MaskGitRunOptions;
    /// Called after each sampling step; returning false stops with the current estimate.
    using Callback = std::function<bool(const MaskGitStep&)>;

    using ClassTable = Tensor<B, Shape<C::classes + 1, C::hidden>, T>;  ///< the last row stands for no class
    ClassTable class_table = make_parameter<ClassTable>();
    using Positions = Tensor<B, Shape<1, 1 + C::tokens, C::hidden>, T>;  ///< the class first
    Positions position_table = make_parameter<Positions>();
    Linear<B, Config::values, C::hidden, T> input_proj;
    LayerNorm<B, C::hidden, T> input_norm;
    std::vector<Block> blocks = make_blocks<Block>(C::depth);
    LayerNorm<B, C::hidden, T> norm;
    Linear<B, C::hidden, C::hidden, T> head_dense;
    LayerNorm<B, C::hidden, T> head_norm;
    Linear<B, C::hidden, C::groups * codewords, T> head;

    /// Throws `Error` unless tokens have the configuration's sizes and every index names a codeword.
    static void check(const Tokens& tokens) {
        require(tokens.length == C::tokens && tokens.per_token == C::groups, C::name, ": expected ", C::tokens,
                " tokens of ", C::groups, " codewords, found ", tokens.length, " of ", tokens.per_token);
        tokens.check();
        Codebook::check(tokens, C::name);
    }
    /// What the transformer sees of tokens: the values of their codewords, 0 where `hidden` [batch, tokens, groups] is
    /// not 0. Value f = g·groups + j of a token is value g of codeword j. The values of finite scalar quantization's
    /// middle levels are 0 as well, so a known codeword of middle levels alone looks like a hidden one.
    [[nodiscard]] static Inputs inputs(const Tokens& tokens, std::span<const std::uint8_t> hidden) {
        check(tokens);
        require(hidden.size() == tokens.indices.size(), C::name, ": ", hidden.size(), " flags for ",
                tokens.indices.size(), " codewords");
        std::vector<T> values = Codebook::template values_of<T>(tokens);
        constexpr auto groups = static_cast<std::size_t>(C::groups);
        constexpr auto each = static_cast<std::size_t>(Config::values);
        for (std::size_t i = 0; i < hidden.size(); ++i) {
            for (std::size_t g = 0; hidden[i] != 0 && g < static_cast<std::size_t>(Codebook::values); ++g) {
                values[i / groups * each + g * groups + i % groups] = T(0);
            }
        }
        return Inputs::from_host(values, {tokens.batch, C::tokens, Config::values});
    }

    /// The scores of every codeword at every position, from what is known of the tokens and one label per sample
    /// (0 … classes − 1, or `no_class`).
    [[nodiscard]] Logits logits(const Inputs& x, std::span<const Index> labels, const Run& run = {}) const {
        const Index batch = x.extent(0);
        require(static_cast<Index>(labels.size()) == batch, C::name, ": ", labels.size(), " labels for ", batch,
                " samples");
        Sequence y = concat<1>(class_vectors(labels), input_proj(x));
        y = input_norm(y + position_table);
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            // The class position is dropped at the end, so the last block need not compute it.
            y = apply(blocks[i], y, i + 1 == blocks.size() ? 1 : 0, run, i);
        }
        const Sequence features = head_norm(head_dense(norm(y), Activation::gelu_erf));
        return reshape<typename Logits::Shape>(head(features), {batch, C::tokens, C::groups, codewords});
    }

    /// One set of tokens per label (0 … classes − 1, or `no_class`). Keep a `MaskGitSampler` to generate several
    /// batches.
    [[nodiscard]] Tokens generate(const std::vector<Index>& labels, const MaskGitSampleOptions& options = {},
                                  const Callback& callback = {}) const {
        return MaskGitSampler<MaskGit>(*this, options)(labels, callback);
    }

    /// A model with fresh random parameters.
    [[nodiscard]] static MaskGit random(std::uint64_t seed) {
        MaskGit model;
        model.initialize(seed);
        return model;
    }
    /// Matrices and tables from a normal distribution of deviation 0.02, cut at two deviations; biases 0.
    void initialize(std::uint64_t seed) {
        init::truncated_normal(class_table, 0.02, fold(seed, "class_emb"));
        init::truncated_normal(position_table, 0.02, fold(seed, "pos_embed"));
        init::truncated_normal_linear(input_proj, 0.02, fold(seed, "input_proj"));
        init::truncated_normal_linear(head_dense, 0.02, fold(seed, "head_dense"));
        init::truncated_normal_linear(head, 0.02, fold(seed, "head"));
        input_norm.initialize(0);
        norm.initialize(0);
        head_norm.initialize(0);
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            const std::uint64_t own = fold(fold(seed, "blocks"), i);
            blocks[i].norm1.initialize(0);
            blocks[i].norm2.initialize(0);
            init::truncated_normal_linear(blocks[i].qkv, 0.02, fold(own, "qkv"));
            init::truncated_normal_linear(blocks[i].proj, 0.02, fold(own, "proj"));
            init::truncated_normal_linear(blocks[i].fc1, 0.02, fold(own, "fc1"));
            init::truncated_normal_linear(blocks[i].fc2, 0.02, fold(own, "fc2"));
        }
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("class_emb.weight", self.class_table);
        v("pos_embed", self.position_table);
        v("input_proj", self.input_proj);
        v("input_norm", self.input_norm);
        v("blocks", self.blocks);
        v("norm", self.norm);
        v("head_dense", self.head_dense);
        v("head_norm", self.head_norm);
        v("head", self.head);
    }

   private:
    [[nodiscard]] Tensor<B, Shape<dyn, 1, C::hidden>, T> class_vectors(std::span<const Index> labels) const {
        PoolVector<Index> rows;
        for (const Index label : labels) {
            require(label == no_class || (label >= 0 && label < C::classes), C::name, ": label ", label,
                    ", expected 0 to ", C::classes - 1, " or ", no_class, " for no class");
            rows.push_back(label == no_class ? C::classes : label);
        }
        const auto batch = static_cast<Index>(labels.size());
        return reshape<dyn, 1, C::hidden>(gather_rows(class_table, Integers::from_host(rows, {batch})), batch);
    }
    [[nodiscard]] static Sequence apply(const Block& block, const Sequence& x, Index skip, const Run& run,
                                        std::size_t number) {
        const BlockDropout dropout = run.dropout.at(number);
        if constexpr (is_autodiff<B>) {
            if (run.checkpoint_blocks) {
                const auto* const at = &block;
                return checkpoint([at, skip, dropout](const Sequence& in) { return (*at)(in, skip, dropout); }, x);
            }
        }
        return block(x, skip, dropout);
    }
};

}  // namespace flowfar
