#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "flowfar/core/memory_pool.hpp"
#include "flowfar/far/config.hpp"
#include "flowfar/far/frame.hpp"
#include "flowfar/far/sample.hpp"
#include "flowfar/far/token_mask.hpp"
#include "flowfar/nn/vit_block.hpp"

namespace flowfar {

/// Training-only behavior of the transformer.
struct FarRunOptions {
    BlockDropout dropout;
    bool checkpoint_blocks = false;  ///< recompute blocks in the backward pass to save memory
};

/// The transformer that FAR's class-conditional models run on.
template <class C, class B, class T>
using FarVitFrame = FarFrame<C, B, T, VitBlock<B, C::hidden, C::heads, T, CheckedFarConfig<C>::encoder_mlp>,
                             VitBlock<B, CheckedFarConfig<C>::decoder_hidden, CheckedFarConfig<C>::decoder_heads, T,
                                      CheckedFarConfig<C>::decoder_mlp>>;

/// FAR (arXiv 2503.05305): sees a latent low-passed to one level and predicts a condition z for every token at once;
/// a diffusion head draws the tokens. Configuration C (far/config.hpp), backend B, element type T. Latents are
/// [batch, channels, height, width] of unit variance. Inference on a const model from several threads is safe on the
/// CPU. Parameters are unset until `initialize` or a loader fills them.
///
///     using Model = flowfar::Far<flowfar::FarB, flowfar::Cpu>;
///     const auto model = flowfar::load<Model>("checkpoint-last.pth");   // flowfar/io.hpp
///     const auto latents = model.generate({207, 360}, {.guidance = 3.0, .seed = 7});
template <class C, class B, class T>
class Far : public FarVitFrame<C, B, T> {
   public:
    using Frame = FarVitFrame<C, B, T>;
    using Frame::hidden;
    using typename Frame::Conditions;
    using typename Frame::Config;
    using typename Frame::Integers;
    using typename Frame::Latents;
    using typename Frame::Sequence;
    using typename Frame::Tokens;
    using Vectors = Tensor<B, Shape<dyn, hidden>, T>;
    using Run = FarRunOptions;
    using Step = FarStep<Far>;
    /// Called after each autoregressive step; returning false stops with the current estimate.
    using Callback = std::function<bool(const Step&)>;

    Tensor<B, Shape<1, hidden>, T> fake_latent = make_parameter<Tensor<B, Shape<1, hidden>, T>>();
    using ClassTable = Tensor<B, Shape<C::classes, hidden>, T>;
    ClassTable class_table = make_parameter<ClassTable>();

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
    /// z of every token: tokens of a low-passed latent, one label per sample, hidden tokens or none.
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
        init::normal(class_table, 0.02, fold(seed, "class_emb"));
        Frame::initialize_frame(seed);
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("fake_latent", self.fake_latent);
        Frame::visit_positions(self, v);
        v("class_emb.weight", self.class_table);
        Frame::visit_network(self, v);
    }

   private:
    [[nodiscard]] static auto applied(const Run& run) {
        return [&run](const auto& block, const auto& x, Index skip, std::size_t index) {
            const BlockDropout dropout = run.dropout.at(index);
            if (!run.checkpoint_blocks || !is_autodiff<B>) {
                return block(x, skip, dropout);
            }
            const auto* const at = &block;
            using In = std::remove_cvref_t<decltype(x)>;
            return checkpoint([at, skip, dropout](const In& in) { return (*at)(in, skip, dropout); }, x);
        };
    }
};

}  // namespace flowfar
