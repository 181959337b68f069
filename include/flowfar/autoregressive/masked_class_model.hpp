#pragma once

#include <span>
#include <vector>

#include "flowfar/autoregressive/block_run.hpp"
#include "flowfar/autoregressive/class_embedding.hpp"
#include "flowfar/autoregressive/masked_frame.hpp"

namespace flowfar {

/// The transformer of class-conditional models with encoder and decoder.
template <class C, class B, class T>
using MaskedVitFrame =
    MaskedFrame<C, B, T, VitBlock<B, C::hidden, C::heads, T, CheckedMaskedConfig<C>::encoder_mlp>,
                VitBlock<B, CheckedMaskedConfig<C>::decoder_hidden, CheckedMaskedConfig<C>::decoder_heads, T,
                         CheckedMaskedConfig<C>::decoder_mlp>>;

/// What FAR's and MAR's class-conditional models share: from tokens, of which some may be hidden, and a class to a
/// condition z of every token. Copies of the class's vector lead the sequence. Parameters are unset until `initialize`
/// or a loader fills them.
template <class C, class B, class T>
class MaskedClassModel : public MaskedVitFrame<C, B, T> {
   public:
    using Frame = MaskedVitFrame<C, B, T>;
    using Frame::hidden;
    using typename Frame::Conditions;
    using typename Frame::Sequence;
    using typename Frame::Tokens;
    using Classes = ClassEmbedding<C, B, T>;
    using Vectors = typename Classes::Vectors;  // [batch, hidden]
    using Run = BlockRun;

    Classes class_vectors;

    /// The buffer positions at the encoder's input [batch, buffer, hidden]. They depend on the class alone, so a
    /// sampler computes them once.
    [[nodiscard]] Sequence embed_classes(const Vectors& classes) const {
        const Index batch = classes.extent(0);
        const auto one = reshape<dyn, 1, hidden>(classes, batch);
        const auto repeated = expand<dyn, C::buffer, hidden>(one, batch);
        return this->z_proj_ln(repeated + slice<1, 0, C::buffer>(this->encoder_positions));
    }

    /// The encoder's output [batch, buffer + visible tokens, hidden]; without a mask all tokens are visible.
    [[nodiscard]] Sequence encode(const Sequence& buffer, const Tokens& x, const TokenMask* mask,
                                  const Run& run = {}) const {
        require(x.extent(0) == buffer.extent(0), C::name, ": ", x.extent(0), " samples for ", buffer.extent(0),
                " classes");
        return Frame::encode_tokens(buffer, x, mask, applied(run));
    }
    /// The condition of every token from the encoder's output.
    [[nodiscard]] Conditions decode(const Sequence& encoded, const TokenMask* mask, const Run& run = {}) const {
        return Frame::decode_tokens(encoded, mask, applied(run));
    }
    /// z of every token: one label per sample, hidden tokens or none. FAR's tokens are those of a low-passed latent.
    [[nodiscard]] Conditions conditions(const Tokens& x, std::span<const Index> labels, const TokenMask* mask = nullptr,
                                        const Run& run = {}) const {
        return decode(encode(embed_classes(class_vectors(labels)), x, mask, run), mask, run);
    }

    /// What a sampler is asked for: one label per sample.
    using Request = std::span<const Index>;
    /// The buffer positions of the conditional rows, and of conditional and null rows together.
    struct Conditioning {
        Sequence with;
        Sequence both;
    };
    [[nodiscard]] static Index count(Request labels) { return static_cast<Index>(labels.size()); }
    [[nodiscard]] Conditioning conditioning(Request labels) const {
        Conditioning out;
        out.with = embed_classes(class_vectors(labels));
        const std::vector<Index> none(labels.size(), no_class);
        out.both = concat<0>(out.with, embed_classes(class_vectors(none)));
        return out;
    }
    /// z of every token under the buffer positions of a `Conditioning`.
    [[nodiscard]] Conditions conditions(const Sequence& buffer, const Tokens& x, const TokenMask* mask) const {
        return decode(encode(buffer, x, mask), mask);
    }

    /// Fresh parameters by the reference's rules (with this library's random numbers).
    void initialize(std::uint64_t seed) {
        class_vectors.initialize(seed);
        Frame::initialize_frame(seed);
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("fake_latent", self.class_vectors.null);
        Frame::visit_positions(self, v);
        v("class_emb.weight", self.class_vectors.table);
        Frame::visit_network(self, v);
    }

   private:
    [[nodiscard]] static auto applied(const Run& run) {
        return [&run](const auto& block, const auto& x, Index skip, std::size_t number) {
            const auto* const at = &block;
            return run(x, number,
                       [at, skip](const auto& in, const BlockDropout& dropout) { return (*at)(in, skip, dropout); });
        };
    }
};

}  // namespace flowfar
