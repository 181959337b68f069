#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/autoregressive/masked_frame.hpp"
#include "flowfar/far/sample.hpp"
#include "flowfar/far/text/config.hpp"
#include "flowfar/nn/cross_block.hpp"

namespace flowfar {

/// What the text model runs on.
template <class C, class B, class T>
using FarCrossFrame =
    MaskedFrame<C, B, T,
                CrossBlock<B, C::hidden, C::heads, C::head_size, C::hidden, T, CheckedFarConfig<C>::encoder_mlp>,
                CrossBlock<B, CheckedFarConfig<C>::decoder_hidden, CheckedFarConfig<C>::decoder_heads, C::head_size,
                           C::hidden, T, CheckedFarConfig<C>::decoder_mlp>>;

/// FAR from text (arXiv 2503.05305, section 5.3): as `Far`, but every block looks at the language model's hidden states
/// of a prompt. A learned context stands for no prompt. Padding of a context takes part, as in the published model.
///
///     using Model = flowfar::FarText<flowfar::FarText256, flowfar::Cpu>;
///     const auto rows = flowfar::far_prompts(tokenizer, prompts);                        // flowfar/io.hpp
///     const auto context = Model::context(language(rows.ids, rows.rows, rows.mask));     // a Qwen2
///     const auto latents = model.generate(context, {.guidance = 3.0, .seed = 7});
template <class C, class B, class T>
class FarText : public FarCrossFrame<C, B, T> {
    static_assert(C::buffer == 0, "FarText: a context takes the place of the class, so there is no buffer");

   public:
    using Config = CheckedFarConfig<C>;
    using Frame = FarCrossFrame<C, B, T>;
    static constexpr bool masked = C::masked;
    static constexpr std::string_view stream = "far";  ///< of the samples' random numbers
    using Frame::hidden;
    using typename Frame::Conditions;
    using typename Frame::Latents;
    using typename Frame::Sequence;
    using typename Frame::Tokens;
    using Context = Tensor<B, Shape<dyn, C::context_tokens, C::context_width>, T>;  ///< of prompts
    using Embedded = Tensor<B, Shape<dyn, C::context_tokens, hidden>, T>;           ///< of prompts, as blocks see them
    using EncoderKeys = typename Frame::Block::Keys;
    using DecoderKeys = typename Frame::DecoderBlock::Keys;
    using Step = FarStep<FarText>;
    /// Called after each autoregressive step; returning false stops with the current estimate.
    using Callback = TokenCallback<FarText>;

    Linear<B, C::context_width, hidden, T> context_embed;
    using NullContext = Tensor<B, Shape<1, C::context_tokens, hidden>, T>;
    NullContext fake_latent = make_parameter<NullContext>();

    /// The keys and values of a context for every block.
    struct Keys {
        std::vector<EncoderKeys> encoder;
        std::vector<DecoderKeys> decoder;
    };
    [[nodiscard]] std::vector<EncoderKeys> encoder_keys(const Embedded& context) const {
        return keys_for(this->encoder_blocks, context);
    }
    [[nodiscard]] std::vector<DecoderKeys> decoder_keys(const Embedded& context) const {
        return keys_for(this->decoder_blocks, context);
    }
    [[nodiscard]] Keys keys_of(const Embedded& context) const { return {encoder_keys(context), decoder_keys(context)}; }

    /// A language model's states [batch, tokens, context width] after the instruction's, which come first.
    using States = Tensor<B, Shape<dyn, dyn, C::context_width>, T>;
    [[nodiscard]] static Context context(const States& states) {
        const Index tokens = states.extent(1);
        require(tokens >= C::context_tokens, C::name, ": ", tokens, " states of a language model, expected at least ",
                C::context_tokens);
        return as<typename Context::Shape>(slice<1>(states, tokens - C::context_tokens, tokens));
    }

    /// Prompts as blocks see them; those whose `keep` is 0 are the null context. An empty `keep` is 1 everywhere.
    [[nodiscard]] Embedded embed(const Context& context, std::span<const Index> keep = {}) const {
        const Embedded seen = context_embed(context);
        if (keep.empty()) {
            return seen;
        }
        const Index batch = context.extent(0);
        require(static_cast<Index>(keep.size()) == batch, C::name, ": ", keep.size(), " flags for ", batch, " prompts");
        PoolVector<T> kept;
        for (const Index flag : keep) {
            kept.push_back(flag != 0 ? T(1.0F) : T(0.0F));
        }
        const auto share = Tensor<B, Shape<dyn, 1, 1>, T>::from_host(kept, {batch, 1, 1});
        return seen * share + fake_latent * (1.0 - share);
    }

    /// The encoder's output [batch, visible tokens, hidden].
    [[nodiscard]] Sequence encode(const std::vector<EncoderKeys>& keys, const Tokens& x, const TokenMask* mask) const {
        return Frame::encode_tokens(
            {}, x, mask,
            [&](const auto& block, const auto& y, Index /*skip*/, std::size_t index) { return block(y, keys[index]); });
    }
    [[nodiscard]] Conditions decode(const Sequence& encoded, const std::vector<DecoderKeys>& keys,
                                    const TokenMask* mask) const {
        return Frame::decode_tokens(encoded, mask,
                                    [&](const auto& block, const auto& y, Index /*skip*/, std::size_t index) {
                                        return block(y, keys[index - this->encoder_blocks.size()]);
                                    });
    }
    /// z of every token.
    [[nodiscard]] Conditions conditions(const Keys& keys, const Tokens& x, const TokenMask* mask) const {
        return decode(encode(keys.encoder, x, mask), keys.decoder, mask);
    }

    /// What a sampler is asked for: one context per sample.
    using Request = const Context&;
    /// Keys and values of the conditional rows, and of conditional and null rows together.
    struct Conditioning {
        Keys with;
        Keys both;
    };
    [[nodiscard]] static Index count(Request context) { return context.extent(0); }
    [[nodiscard]] Conditioning conditioning(Request context) const {
        Conditioning out{keys_of(embed(context)), {}};
        const Index batch = context.extent(0);
        const auto join = [&](const auto& keys) {
            const auto repeated = [&](const auto& one) {
                using X = std::remove_cvref_t<decltype(one)>;
                Extents extents = one.extents();
                extents[0] = batch;
                return expand<typename X::Shape>(one, extents);
            };
            auto null = keys.second;
            for (std::size_t i = 0; i < null.size(); ++i) {
                null[i] = {concat<0>(keys.first[i].key, repeated(null[i].key)),
                           concat<0>(keys.first[i].value, repeated(null[i].value))};
            }
            return null;
        };
        const Keys null = keys_of(Embedded(fake_latent));
        out.both = {join(std::pair(out.with.encoder, null.encoder)), join(std::pair(out.with.decoder, null.decoder))};
        return out;
    }

    /// One latent [channels, height, width] per context, of unit variance. Keep a `FarSampler` to generate several
    /// batches.
    [[nodiscard]] Latents generate(const Context& context, const FarSampleOptions& options = {},
                                   const Callback& callback = {}) const {
        return FarSampler<FarText>(*this, options)(context, callback);
    }

    /// A model with fresh random parameters.
    [[nodiscard]] static FarText random(std::uint64_t seed) {
        FarText model;
        model.initialize(seed);
        return model;
    }
    void initialize(std::uint64_t seed) {
        init::normal(fake_latent, 0.02, fold(seed, "fake_latent"));
        init::xavier_linear(context_embed, fold(seed, "context_embed"));
        Frame::initialize_frame(seed);
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("fake_latent", self.fake_latent);
        Frame::visit_positions(self, v);
        v("context_embed", self.context_embed);
        Frame::visit_network(self, v);
    }

   private:
    template <class Blocks>
    [[nodiscard]] static auto keys_for(const Blocks& blocks, const Embedded& context) {
        std::vector<typename Blocks::value_type::Keys> out;
        for (const auto& block : blocks) {
            out.push_back(block.keys_of(context));
        }
        return out;
    }
};

}  // namespace flowfar
