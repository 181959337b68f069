#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "flowfar/autoregressive/head/diffusion_head.hpp"
#include "flowfar/autoregressive/token_grid.hpp"
#include "flowfar/autoregressive/token_mask.hpp"
#include "flowfar/nn/blocks.hpp"
#include "flowfar/nn/linear.hpp"
#include "flowfar/nn/norm.hpp"

namespace flowfar {

/// What FAR's and MAR's models have in common, whatever tells them what to generate: an encoder that sees the visible
/// tokens of a latent, a decoder that sees all positions, and the diffusion head. The blocks are the model's.
template <class C, class B, class T, class EncoderBlock, class DecoderBlockType>
class MaskedFrame : public TokenGrid<CheckedMaskedConfig<C>, B, T> {
   public:
    using Config = CheckedMaskedConfig<C>;
    using Grid = TokenGrid<Config, B, T>;
    using Grid::token_dim;
    using Grid::tokens;
    using typename Grid::Tokens;
    using Block = EncoderBlock;
    using DecoderBlock = DecoderBlockType;
    static constexpr Index hidden = C::hidden;
    static constexpr Index decoder_hidden = Config::decoder_hidden;

    using Embedded = Tensor<B, Shape<dyn, tokens, hidden>, T>;
    using Conditions = Tensor<B, Shape<dyn, tokens, decoder_hidden>, T>;  ///< z
    using Sequence = Tensor<B, Shape<dyn, dyn, hidden>, T>;
    using DecoderSequence = Tensor<B, Shape<dyn, dyn, decoder_hidden>, T>;
    using Integers = Tensor<B, Shape<dyn>, Index>;
    using Head = DiffusionHead<B, token_dim, decoder_hidden, C::head_width, T>;

    using MaskToken = Tensor<B, Shape<1, 1, decoder_hidden>, T>;
    MaskToken mask_token = make_parameter<MaskToken>();
    using EncoderPositions = Tensor<B, Shape<1, Config::positions, hidden>, T>;
    EncoderPositions encoder_positions = make_parameter<EncoderPositions>();
    using DecoderPositions = Tensor<B, Shape<1, Config::positions, decoder_hidden>, T>;
    DecoderPositions decoder_positions = make_parameter<DecoderPositions>();
    using TokenPositions = Tensor<B, Shape<1, tokens, decoder_hidden>, T>;
    TokenPositions diffusion_positions = make_parameter<TokenPositions>();
    Linear<B, token_dim, hidden, T> z_proj;
    LayerNorm<B, hidden, T> z_proj_ln;
    std::vector<Block> encoder_blocks = make_blocks<Block>(C::encoder_depth);
    LayerNorm<B, hidden, T> encoder_norm;
    Linear<B, hidden, decoder_hidden, T> decoder_embed;
    std::vector<DecoderBlock> decoder_blocks = make_blocks<DecoderBlock>(C::decoder_depth);
    LayerNorm<B, decoder_hidden, T> decoder_norm;
    Head head{C::head_depth, C::indexed};

    /// The token positions at the encoder's input, before any are hidden.
    [[nodiscard]] Embedded embed_tokens(const Tokens& x) const {
        return z_proj_ln(z_proj(x) + slice<1, C::buffer, Config::positions>(encoder_positions));
    }

   protected:
    /// The encoder's output [batch, buffer + visible tokens, hidden]; without a mask all tokens are visible. An absent
    /// `buffer` [batch, buffer, hidden] is empty. `apply(block, sequence, skip, number)` runs a block
    /// (nn/vit_block.hpp).
    template <class Apply>
    [[nodiscard]] Sequence encode_tokens(const Sequence& buffer, const Tokens& x, const TokenMask* mask,
                                         Apply&& apply) const {
        require(mask == nullptr || (mask->batch() == x.extent(0) && mask->tokens() == tokens), C::name,
                ": the mask does not fit ", x.extent(0), " samples of ", tokens, " tokens");
        const Embedded embedded = embed_tokens(x);
        const Sequence visible = mask == nullptr ? Sequence(embedded) : keep_visible(embedded, *mask);
        Sequence y = buffer.defined() ? Sequence(concat<1>(buffer, visible)) : visible;
        for (std::size_t i = 0; i < encoder_blocks.size(); ++i) {
            y = apply(encoder_blocks[i], y, 0, i);
        }
        return encoder_norm(y);
    }
    /// The condition of every token from the encoder's output.
    template <class Apply>
    [[nodiscard]] Conditions decode_tokens(const Sequence& encoded, const TokenMask* mask, Apply&& apply) const {
        const DecoderSequence embedded = decoder_embed(encoded);
        DecoderSequence y = (mask == nullptr ? embedded : restore_hidden(embedded, *mask)) + decoder_positions;
        for (std::size_t i = 0; i < decoder_blocks.size(); ++i) {
            // The buffer is dropped at the end, so the last block need not compute it.
            const bool last = i + 1 == decoder_blocks.size();
            y = apply(decoder_blocks[i], y, last ? C::buffer : 0, encoder_blocks.size() + i);
        }
        if (decoder_blocks.empty()) {
            y = slice<1>(y, C::buffer, Config::positions);
        }
        return decoder_norm(y) + diffusion_positions;
    }

    /// Fresh parameters by the reference's rules (with this library's random numbers).
    void initialize_frame(std::uint64_t seed) {
        init::normal(mask_token, 0.02, fold(seed, "mask_token"));
        init::normal(encoder_positions, 0.02, fold(seed, "encoder_pos_embed_learned"));
        init::normal(decoder_positions, 0.02, fold(seed, "decoder_pos_embed_learned"));
        init::normal(diffusion_positions, 0.02, fold(seed, "diffusion_pos_embed_learned"));
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
    static void visit_positions(Self& self, V&& v) {
        v("mask_token", self.mask_token);
        v("encoder_pos_embed_learned", self.encoder_positions);
        v("decoder_pos_embed_learned", self.decoder_positions);
        v("diffusion_pos_embed_learned", self.diffusion_positions);
    }
    template <class Self, class V>
    static void visit_network(Self& self, V&& v) {
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
    [[nodiscard]] static Integers rows_tensor(std::span<const Index> rows) {
        return Integers::from_host(rows, {static_cast<Index>(rows.size())});
    }
    [[nodiscard]] static Sequence keep_visible(const Embedded& x, const TokenMask& mask) {
        return reshape<dyn, dyn, hidden>(gather_rows(Grid::flatten(x), rows_tensor(mask.kept_rows())), mask.batch(),
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
