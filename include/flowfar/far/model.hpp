#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "flowfar/core/memory_pool.hpp"
#include "flowfar/far/config.hpp"
#include "flowfar/far/diffusion_head.hpp"
#include "flowfar/far/sample.hpp"
#include "flowfar/far/token_mask.hpp"
#include "flowfar/nn/blocks.hpp"
#include "flowfar/nn/vit_block.hpp"

namespace flowfar {

/// Training-only behavior of the transformer.
struct FarRunOptions {
    BlockDropout dropout;
    bool checkpoint_blocks = false;  ///< recompute blocks in the backward pass to save memory
};

/// FAR (arXiv 2503.05305): sees a latent low-passed to one level and predicts a condition z for every token at once;
/// a diffusion head draws the tokens. Configuration C (far/config.hpp), backend B, element type T. Latents are
/// [batch, channels, height, width] of unit variance. Inference on a const model from several threads is safe on the
/// CPU. Parameters are unset until `initialize` or a loader fills them.
///
///     using Model = flowfar::Far<flowfar::FarB, flowfar::Cpu>;
///     const auto model = flowfar::load<Model>("checkpoint-last.pth");   // flowfar/io.hpp
///     const auto latents = model.generate({207, 360}, {.guidance = 3.0, .seed = 7});
template <class C, class B, class T>
class Far {
   public:
    using Config = CheckedFarConfig<C>;
    using Backend = B;
    using Element = T;
    static constexpr Index hidden = C::hidden;
    static constexpr Index decoder_hidden = Config::decoder_hidden;
    static constexpr Index tokens = Config::tokens;
    static constexpr Index token_dim = Config::token_dim;

    using Latents = Tensor<B, Shape<dyn, C::channels, Config::height, Config::width>, T>;
    using Tokens = Tensor<B, Shape<dyn, tokens, token_dim>, T>;
    using Embedded = Tensor<B, Shape<dyn, tokens, hidden>, T>;
    using Conditions = Tensor<B, Shape<dyn, tokens, decoder_hidden>, T>;  ///< z
    using Sequence = Tensor<B, Shape<dyn, dyn, hidden>, T>;
    using DecoderSequence = Tensor<B, Shape<dyn, dyn, decoder_hidden>, T>;
    using Vectors = Tensor<B, Shape<dyn, hidden>, T>;
    using Integers = Tensor<B, Shape<dyn>, Index>;
    using Block = VitBlock<B, hidden, C::heads, T, Config::encoder_mlp>;
    using DecoderBlock = VitBlock<B, decoder_hidden, Config::decoder_heads, T, Config::decoder_mlp>;
    using Head = DiffusionHead<B, token_dim, decoder_hidden, C::head_width, T>;
    using Run = FarRunOptions;
    using Step = FarStep<Far>;
    /// Called after each autoregressive step; returning false stops with the current estimate.
    using Callback = std::function<bool(const Step&)>;

    Tensor<B, Shape<1, hidden>, T> fake_latent = make_parameter<Tensor<B, Shape<1, hidden>, T>>();
    using MaskToken = Tensor<B, Shape<1, 1, decoder_hidden>, T>;
    MaskToken mask_token = make_parameter<MaskToken>();
    using EncoderPositions = Tensor<B, Shape<1, Config::positions, hidden>, T>;
    EncoderPositions encoder_positions = make_parameter<EncoderPositions>();
    using DecoderPositions = Tensor<B, Shape<1, Config::positions, decoder_hidden>, T>;
    DecoderPositions decoder_positions = make_parameter<DecoderPositions>();
    using TokenPositions = Tensor<B, Shape<1, tokens, decoder_hidden>, T>;
    TokenPositions diffusion_positions = make_parameter<TokenPositions>();
    using ClassTable = Tensor<B, Shape<C::classes, hidden>, T>;
    ClassTable class_table = make_parameter<ClassTable>();
    Linear<B, token_dim, hidden, T> z_proj;
    LayerNorm<B, hidden, T> z_proj_ln;
    std::vector<Block> encoder_blocks = make_blocks<Block>(C::encoder_depth);
    LayerNorm<B, hidden, T> encoder_norm;
    Linear<B, hidden, decoder_hidden, T> decoder_embed;
    std::vector<DecoderBlock> decoder_blocks = make_blocks<DecoderBlock>(C::decoder_depth);
    LayerNorm<B, decoder_hidden, T> decoder_norm;
    Head head{C::head_depth};

    /// One vector per label, [batch, hidden]: the class's, or the null condition's for `no_class`.
    [[nodiscard]] Vectors class_vectors(std::span<const Index> labels) const {
        PoolVector<Index> rows;
        PoolVector<T> keep;
        for (const Index label : labels) {
            require(label == no_class || (label >= 0 && label < C::classes), C::name, ": label ", label,
                    ", expected 0 to ", C::classes - 1, " or ", no_class, " for no class");
            rows.push_back(label == no_class ? 0 : label);
            keep.push_back(label == no_class ? T(0) : T(1));
        }
        const auto batch = static_cast<Index>(labels.size());
        const auto kept = Tensor<B, Shape<dyn, 1>, T>::from_host(keep, {batch, 1});
        return gather_rows(class_table, Integers::from_host(rows, {batch})) * kept + fake_latent * (1.0 - kept);
    }

    /// The buffer positions at the encoder's input [batch, buffer, hidden]. They depend on the class alone, so a
    /// sampler computes them once.
    [[nodiscard]] Sequence embed_classes(const Vectors& classes) const {
        const Index batch = classes.extent(0);
        const auto one = reshape<dyn, 1, hidden>(classes, batch);
        const auto repeated = expand<dyn, C::buffer, hidden>(one, batch);
        return z_proj_ln(repeated + slice<1, 0, C::buffer>(encoder_positions));
    }
    /// The token positions at the encoder's input, before any are hidden.
    [[nodiscard]] Embedded embed_tokens(const Tokens& x) const {
        return z_proj_ln(z_proj(x) + slice<1, C::buffer, Config::positions>(encoder_positions));
    }

    /// The encoder's output [batch, buffer + visible tokens, hidden]; without a mask all tokens are visible.
    [[nodiscard]] Sequence encode(const Sequence& buffer, const Tokens& x, const TokenMask* mask,
                                  const Run& run = {}) const {
        require(x.extent(0) == buffer.extent(0), C::name, ": ", x.extent(0), " samples for ", buffer.extent(0),
                " classes");
        require(mask == nullptr || (mask->batch() == x.extent(0) && mask->tokens() == tokens), C::name,
                ": the mask does not fit ", x.extent(0), " samples of ", tokens, " tokens");
        const Embedded embedded = embed_tokens(x);
        const Sequence visible = mask == nullptr ? Sequence(embedded) : keep_visible(embedded, *mask);
        Sequence y = concat<1>(buffer, visible);
        for (std::size_t i = 0; i < encoder_blocks.size(); ++i) {
            y = apply(encoder_blocks[i], y, 0, run, i);
        }
        return encoder_norm(y);
    }
    /// The condition of every token from the encoder's output.
    [[nodiscard]] Conditions decode(const Sequence& encoded, const TokenMask* mask, const Run& run = {}) const {
        const DecoderSequence embedded = decoder_embed(encoded);
        DecoderSequence y = (mask == nullptr ? embedded : restore_hidden(embedded, *mask)) + decoder_positions;
        for (std::size_t i = 0; i < decoder_blocks.size(); ++i) {
            // The buffer is dropped at the end, so the last block need not compute it.
            const bool last = i + 1 == decoder_blocks.size();
            y = apply(decoder_blocks[i], y, last ? C::buffer : 0, run, encoder_blocks.size() + i);
        }
        if (decoder_blocks.empty()) {
            y = slice<1>(y, C::buffer, Config::positions);
        }
        return decoder_norm(y) + diffusion_positions;
    }
    /// z of every token: tokens of a low-passed latent, one label per sample, hidden tokens or none.
    [[nodiscard]] Conditions conditions(const Tokens& x, std::span<const Index> labels, const TokenMask* mask = nullptr,
                                        const Run& run = {}) const {
        return decode(encode(embed_classes(class_vectors(labels)), x, mask, run), mask, run);
    }

    /// [batch, channels, height, width] → [batch, tokens, channels·p²]; within a token: channel, row, column.
    [[nodiscard]] static Tokens patchify(const Latents& x) {
        constexpr Index p = C::patch;
        const Index batch = x.extent(0);
        const auto six = reshape<dyn, C::channels, Config::rows, p, Config::columns, p>(x, batch);
        return reshape<dyn, tokens, token_dim>(permute<0, 2, 4, 1, 3, 5>(six), batch);
    }
    [[nodiscard]] static Latents unpatchify(const Tokens& x) {
        constexpr Index p = C::patch;
        const Index batch = x.extent(0);
        const auto six = reshape<dyn, Config::rows, Config::columns, C::channels, p, p>(x, batch);
        return reshape<typename Latents::Shape>(permute<0, 3, 1, 4, 2, 5>(six), batch);
    }
    /// [batch, tokens, C] → [batch·tokens, C]: rows ordered (sample, token).
    template <AnyTensor X>
    [[nodiscard]] static auto flatten(const X& x) {
        return reshape<dyn, X::Shape::at(2)>(x, x.extent(0) * tokens);
    }

    /// One latent [channels, height, width] per label (0 … classes − 1, or `no_class`), of unit variance. Keep a
    /// `FarSampler` to generate several batches.
    [[nodiscard]] Latents generate(const std::vector<Index>& labels, const FarSampleOptions& options = {},
                                   const Callback& callback = {}) const {
        return FarSampler<Far>(*this, options)(labels, callback);
    }

    /// A model with fresh random parameters.
    [[nodiscard]] static Far random(std::uint64_t seed) {
        Far model;
        model.initialize(seed);
        return model;
    }
    /// Fresh parameters by the reference's rules (with this library's random numbers).
    void initialize(std::uint64_t seed) {
        init::normal(fake_latent, 0.02, fold(seed, "fake_latent"));
        init::normal(mask_token, 0.02, fold(seed, "mask_token"));
        init::normal(encoder_positions, 0.02, fold(seed, "encoder_pos_embed_learned"));
        init::normal(decoder_positions, 0.02, fold(seed, "decoder_pos_embed_learned"));
        init::normal(diffusion_positions, 0.02, fold(seed, "diffusion_pos_embed_learned"));
        init::normal(class_table, 0.02, fold(seed, "class_emb"));
        init::xavier_linear(z_proj, fold(seed, "z_proj"));
        init::xavier_linear(decoder_embed, fold(seed, "decoder_embed"));
        z_proj_ln.initialize(0);
        encoder_norm.initialize(0);
        decoder_norm.initialize(0);
        for (std::size_t i = 0; i < encoder_blocks.size(); ++i) {
            encoder_blocks[i].initialize(fold(fold(seed, "encoder_blocks"), i));
        }
        for (std::size_t i = 0; i < decoder_blocks.size(); ++i) {
            decoder_blocks[i].initialize(fold(fold(seed, "decoder_blocks"), i));
        }
        head.initialize(fold(seed, "diffloss"));
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("fake_latent", self.fake_latent);
        v("mask_token", self.mask_token);
        v("encoder_pos_embed_learned", self.encoder_positions);
        v("decoder_pos_embed_learned", self.decoder_positions);
        v("diffusion_pos_embed_learned", self.diffusion_positions);
        v("class_emb.weight", self.class_table);
        v("z_proj", self.z_proj);
        v("z_proj_ln", self.z_proj_ln);
        v("encoder_blocks", self.encoder_blocks);
        v("encoder_norm", self.encoder_norm);
        v("decoder_embed", self.decoder_embed);
        v("decoder_blocks", self.decoder_blocks);
        v("decoder_norm", self.decoder_norm);
        v("diffloss", self.head);
    }

   private:
    template <class AnyBlock>
    [[nodiscard]] static auto apply(const AnyBlock& block, const typename AnyBlock::Sequence& x, Index skip,
                                    const Run& run, std::size_t index) {
        const BlockDropout dropout = run.dropout.at(index);
        if (!run.checkpoint_blocks || !is_autodiff<B>) {
            return block(x, skip, dropout);
        }
        const AnyBlock* const at = &block;
        using In = typename AnyBlock::Sequence;
        return checkpoint([at, skip, dropout](const In& in) { return (*at)(in, skip, dropout); }, x);
    }
    [[nodiscard]] static Integers rows_tensor(std::span<const Index> rows) {
        return Integers::from_host(rows, {static_cast<Index>(rows.size())});
    }
    [[nodiscard]] static Sequence keep_visible(const Embedded& x, const TokenMask& mask) {
        return reshape<dyn, dyn, hidden>(gather_rows(flatten(x), rows_tensor(mask.kept_rows())), mask.batch(),
                                         mask.visible());
    }
    /// Puts the mask token where tokens were hidden: [batch, buffer + visible, decoder_hidden] → [batch, positions,
    /// decoder_hidden].
    [[nodiscard]] DecoderSequence restore_hidden(const DecoderSequence& x, const TokenMask& mask) const {
        const Index batch = mask.batch();
        const auto visible =
            reshape<dyn, decoder_hidden>(slice<1>(x, C::buffer, C::buffer + mask.visible()), batch * mask.visible());
        const auto all = concat<0>(visible, reshape<1, decoder_hidden>(mask_token));
        const auto restored = gather_rows(all, rows_tensor(mask.restoring_rows()));
        return concat<1>(slice<1>(x, 0, C::buffer), reshape<dyn, dyn, decoder_hidden>(restored, batch, tokens));
    }
};

}  // namespace flowfar
