#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "flowfar/autoregressive/block_run.hpp"
#include "flowfar/autoregressive/class_embedding.hpp"
#include "flowfar/autoregressive/head/diffusion_head.hpp"
#include "flowfar/autoregressive/token_grid.hpp"
#include "flowfar/nn/blocks.hpp"

namespace flowfar {

/// A configuration of one stack of blocks that reads `Inputs` tokens after the buffer and predicts `Length` tokens.
template <class C, Index Length, Index Inputs>
struct CheckedCausalConfig : CheckedTokenConfig<C> {
    static constexpr Index length = Length;
    static constexpr Index inputs = Inputs;
    static_assert(length >= 1 && inputs >= 1, "configuration: at least one input and one token to predict");
    static_assert(C::depth >= 1, "configuration: at least one block");
    static constexpr Index places = C::buffer + inputs;  ///< positions of the sequence
    static constexpr Index skipped = places - length;    ///< of them, the first ones, which predict nothing
    static_assert(skipped >= 0, "configuration: every predicted token needs a position; raise the buffer");
    static constexpr Index mlp = CheckedTokenConfig<C>::mlp_width(C::hidden);
};

/// What raster AR and VAR share: one stack of blocks with causal attention over copies of the class's vector and tokens
/// drawn before, then the diffusion head. `Checked` is a CheckedCausalConfig.
template <class Checked, class B, class T>
class CausalModel : public TokenGrid<Checked, B, T> {
   public:
    using Config = Checked;
    using Grid = TokenGrid<Config, B, T>;
    using Grid::token_dim;
    static constexpr Index hidden = Config::hidden;
    static constexpr Index buffer = Config::buffer;
    static constexpr bool masked = false;
    using Block = VitBlock<B, hidden, Config::heads, T, Config::mlp>;
    using Sequence = typename Block::Sequence;                            // [batch, positions, hidden]
    using Inputs = Tensor<B, Shape<dyn, dyn, token_dim>, T>;              // [batch, tokens, token_dim]
    using Conditions = Tensor<B, Shape<dyn, Config::length, hidden>, T>;  ///< z
    using Classes = ClassEmbedding<Config, B, T>;
    using Vectors = typename Classes::Vectors;
    using Head = DiffusionHead<B, token_dim, hidden, Config::head_width, T>;
    using Caches = std::vector<typename Block::Cache>;
    using Run = BlockRun;

    Classes class_vectors;
    using Positions = Tensor<B, Shape<1, Config::places, hidden>, T>;
    Positions positions = make_parameter<Positions>();
    using TokenPositions = Tensor<B, Shape<1, Config::length, hidden>, T>;
    TokenPositions diffusion_positions = make_parameter<TokenPositions>();
    Linear<B, token_dim, hidden, T> z_proj;
    LayerNorm<B, hidden, T> z_proj_ln;
    std::vector<Block> blocks = make_blocks<Block>(Config::depth);
    LayerNorm<B, hidden, T> norm;
    Head head{Config::head_depth, Config::indexed};

    /// The buffer at the blocks' input [batch, buffer, hidden].
    [[nodiscard]] Sequence embed_classes(const Vectors& classes) const {
        const Index batch = classes.extent(0);
        const auto one = reshape<dyn, 1, hidden>(classes, batch);
        return z_proj_ln(Sequence(expand<dyn, dyn, hidden>(one, batch, buffer) + slice<1>(positions, 0, buffer)));
    }
    /// Input tokens [batch, n, token_dim], the first of which has the number `first`, at the blocks' input.
    [[nodiscard]] Sequence embed_tokens(const Inputs& x, Index first) const {
        const Index begin = buffer + first;
        return z_proj_ln(Sequence(z_proj(x) + slice<1>(positions, begin, begin + x.extent(1))));
    }

    /// z of every token from all inputs at once: teacher forcing. One label per sample.
    [[nodiscard]] Conditions conditions(const Inputs& x, std::span<const Index> labels, const Visibility& seen,
                                        const Run& run = {}) const {
        require(x.extent(1) == Config::inputs && x.extent(0) == static_cast<Index>(labels.size()), Config::name,
                ": inputs ", x.extents(), " for ", labels.size(), " labels, expected ", Config::inputs,
                " tokens for each");
        Sequence y = concat<1>(embed_classes(class_vectors(labels)), embed_tokens(x, 0));
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            const Block* const at = &blocks[i];
            const Index skip = i + 1 == blocks.size() ? Config::skipped : 0;
            y = run(y, i, [at, skip, seen](const Sequence& in, const BlockDropout& dropout) {
                return (*at)(in, skip, dropout, seen);
            });
        }
        return Conditions(norm(y) + diffusion_positions);
    }

    /// Keys and values of no token yet, for sequences of all inputs.
    [[nodiscard]] Caches empty_caches(Index batch) const {
        Caches out;
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            out.emplace_back(batch, Config::places);
        }
        return out;
    }
    /// The blocks' results for positions x [batch, n, hidden] that follow those of the caches, which then hold them,
    /// too. Among themselves they see each other as `mask` says.
    [[nodiscard]] Sequence continued(Sequence x, Caches& caches, MaskKind mask) const {
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            x = blocks[i].continued(x, caches[i], mask);
        }
        return norm(x);
    }
    /// z of tokens from the number `first` on, of their positions' results y [batch, n, hidden].
    [[nodiscard]] Sequence with_positions(const Sequence& y, Index first) const {
        return Sequence(y + slice<1>(diffusion_positions, first, first + y.extent(1)));
    }

    /// What a sampler is asked for: one label per sample.
    using Request = std::span<const Index>;
    [[nodiscard]] static Index count(Request labels) { return static_cast<Index>(labels.size()); }

    /// Fresh parameters by MAR's rules (with this library's random numbers).
    void initialize(std::uint64_t seed) {
        class_vectors.initialize(seed);
        init::normal(positions, 0.02, fold(seed, "pos_embed_learned"));
        init::normal(diffusion_positions, 0.02, fold(seed, "diffusion_pos_embed_learned"));
        init::xavier_linear(z_proj, fold(seed, "z_proj"));
        z_proj_ln.initialize(0);
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            blocks[i].initialize(fold(fold(seed, "blocks"), i));
        }
        norm.initialize(0);
        head.initialize(fold(seed, "diffloss"));
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("fake_latent", self.class_vectors.null);
        v("pos_embed_learned", self.positions);
        v("diffusion_pos_embed_learned", self.diffusion_positions);
        v("class_emb.weight", self.class_vectors.table);
        v("z_proj", self.z_proj);
        v("z_proj_ln", self.z_proj_ln);
        v("blocks", self.blocks);
        v("norm", self.norm);
        v("diffloss", self.head);
    }
};

/// The transformer's side of a sampling run with kept keys and values: conditional sequences, then, where null
/// conditions are needed, those without class.
template <class Model>
class CausalRun {
   public:
    using Sequence = typename Model::Sequence;
    using Inputs = typename Model::Inputs;

    CausalRun(const Model& model, std::span<const Index> labels, bool guided, MaskKind buffer)
        : model_(model),
          guided_(guided),
          batch_(static_cast<Index>(labels.size())),
          caches_(model.empty_caches(guided ? 2 * batch_ : batch_)) {
        std::vector<Index> all(labels.begin(), labels.end());
        all.resize(static_cast<std::size_t>(guided ? 2 * batch_ : batch_), no_class);
        last_ = model.continued(model.embed_classes(model.class_vectors(all)), caches_, buffer);
    }
    /// Reads tokens [batch, n, token_dim] that follow those read before, the first of which has the number `first`.
    void read(const Inputs& x, Index first, MaskKind mask) {
        last_ = model_.continued(model_.embed_tokens(guided_ ? Inputs(concat<0>(x, x)) : x, first), caches_, mask);
    }
    /// z of the `count` tokens from the number `first` on, which the last positions read predict: rows (sample, token),
    /// and with `two` those without class after them.
    [[nodiscard]] auto conditions(Index first, Index count, bool two) const {
        const Index end = last_.extent(1);
        Sequence z = model_.with_positions(Sequence(slice<1>(last_, end - count, end)), first);
        return Model::flatten(guided_ && !two ? Sequence(slice<0>(z, 0, batch_)) : z);
    }
    [[nodiscard]] Index batch() const { return batch_; }

   private:
    const Model& model_;
    bool guided_;
    Index batch_;
    typename Model::Caches caches_;
    Sequence last_;
};

}  // namespace flowfar
