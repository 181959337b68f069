#pragma once

#include <span>
#include <tuple>
#include <vector>

#include "flowfar/core/memory_pool.hpp"
#include "flowfar/flowmo/double_block.hpp"
#include "flowfar/nn/blocks.hpp"
#include "flowfar/nn/embedding.hpp"

namespace flowfar {

/// The read-out of one stream: layer norm, with a time vector also modulation and a second layer norm, then Linear.
template <class B, Index Hidden, Index Out, class T>
struct FinalLayer {
    using Backend = B;
    using Vector = Tensor<B, Shape<dyn, Hidden>, T>;

    Linear<B, Hidden, Out, T> linear;
    Linear<B, Hidden, 2 * Hidden, T> modulation;

    /// x [batch, tokens, hidden] → [batch, tokens, Out].
    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x, const Vector& vec) const {
        if (!vec.defined()) {
            return linear(layer_norm_packed(x));
        }
        return modulated(x, modulation(silu(vec)));
    }
    /// Reads out with a given modulation m, [batch, 2·hidden]: shift, scale.
    template <AnyTensor X, AnyTensor M>
    [[nodiscard]] auto modulated(const X& x, const M& m) const {
        const X y = layer_norm(x, slice<1, Hidden, 2 * Hidden>(m), slice<1, 0, Hidden>(m), {.plus_one = true});
        return linear(layer_norm_packed(y));
    }
    void initialize(std::uint64_t seed) {
        linear.initialize(fold(seed, "linear"));
        modulation.initialize(fold(seed, "modulation"));
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("linear", self.linear);
        v("adaLN_modulation.1", self.modulation);
    }
};

/// FlowMo's transformer, encoder and decoder alike: image patches [batch, Lx, ImageIn] and code [batch, Lc, CodeIn] in,
/// [batch, Lx, ImageIn] and [batch, Lc, CodeOut] out.
template <class B, Index Hidden, Index HeadCount, Index Inner, Index ImageIn, Index CodeIn, Index CodeOut, class T>
struct Mmdit {
    using Backend = B;
    using Block = DoubleBlock<B, Hidden, HeadCount, T, Inner>;
    using Sequence = typename Block::Sequence;
    using Vector = typename Block::Vector;
    using Table = typename Block::Table;
    using Patches = Tensor<B, Shape<dyn, dyn, ImageIn>, T>;
    using CodeInput = Tensor<B, Shape<dyn, dyn, CodeIn>, T>;
    using CodeOutput = Tensor<B, Shape<dyn, dyn, CodeOut>, T>;
    /// Modulation vectors [n, depth × (image 6·hidden, code 6·hidden) + final 2·hidden].
    using Modulations = Tensor<B, Shape<dyn, dyn>, T>;

    /// The streams that were asked for; the other is absent.
    struct Output {
        Patches image;
        CodeOutput code;
    };
    struct Options {
        Streams want;
        bool checkpoint_blocks = false;  ///< recompute each block in the backward pass instead of keeping its interior
    };

    TimeEmbedding<B, Hidden, T> time_in;
    Linear<B, ImageIn, Hidden, T> img_in;
    Linear<B, CodeIn, Hidden, T> txt_in;
    std::vector<Block> double_blocks;
    FinalLayer<B, Hidden, ImageIn, T> final_layer_img;
    FinalLayer<B, Hidden, CodeOut, T> final_layer_txt;

    explicit Mmdit(Index depth) : double_blocks(make_blocks<Block>(depth)) {}

    /// Time vector [batch, hidden] of times t [batch] in [0, 1].
    [[nodiscard]] Vector time_vector(const Tensor<B, Shape<dyn>, T>& t) const { return time_in(t, 1000.0); }

    [[nodiscard]] Index modulation_width() const {
        return 12 * Hidden * static_cast<Index>(double_blocks.size()) + 2 * Hidden;
    }
    /// All modulation vectors at time vectors [n, hidden]. They depend on nothing else, so a whole schedule's are
    /// computed at once.
    [[nodiscard]] Modulations modulations(const Vector& vec) const {
        const Vector activated = silu(vec);
        PoolVector<typename B::Handle> parts;
        for (const Block& block : double_blocks) {
            parts.push_back(block.image.mod.lin(activated).handle());
            parts.push_back(block.code.mod.lin(activated).handle());
        }
        parts.push_back(final_layer_img.modulation(activated).handle());
        return Modulations(B::concat(std::span<const typename B::Handle>(parts), 1));
    }

    /// `vec` may be absent. `observe(block index, image stream, code stream)` sees the streams before the first block
    /// (index −1) and after each block.
    template <class Observer>
    [[nodiscard]] Output run(const Patches& patches, const CodeInput& code, const Vector& vec, const Table& table,
                             const Options& options, Observer&& observe) const {
        const auto apply_block = [&](const Block& block, Index, const Sequence& x, const Sequence& c, Streams want) {
            return apply(block, x, c, vec, table, want, options.checkpoint_blocks);
        };
        const auto [x, c] = run_blocks(patches, code, options.want, apply_block, observe);
        Output out;
        if (options.want.image) {
            out.image = final_layer_img(x, vec);
        }
        if (options.want.code) {
            out.code = final_layer_txt(c, vec);
        }
        return out;
    }
    /// The image stream with the modulations of one time, [1, width], for the whole batch.
    [[nodiscard]] Patches run_modulated(const Patches& patches, const CodeInput& code, const Modulations& row,
                                        const Table& table) const {
        constexpr Index part = 6 * Hidden;
        const Index batch = patches.extent(0);
        const auto all = expand<dyn, dyn>(row, batch, row.extent(1));
        const auto chunks = [&](Index i) {
            return Modulation<B, Hidden, 6, T>::chunks(
                Tensor<B, Shape<dyn, part>, T>(slice<1>(all, i * part, (i + 1) * part)));
        };
        const auto apply_block = [&](const Block& block, Index i, const Sequence& x, const Sequence& c, Streams want) {
            return block.modulated(x, c, chunks(2 * i), chunks(2 * i + 1), table, want);
        };
        const auto [x, c] = run_blocks(patches, code, {.image = true, .code = false}, apply_block,
                                       [](Index, const Sequence&, const Sequence&) {});
        const Index end = modulation_width();
        return final_layer_img.modulated(x, Tensor<B, Shape<dyn, 2 * Hidden>, T>(slice<1>(all, end - 2 * Hidden, end)));
    }
    [[nodiscard]] Output operator()(const Patches& patches, const CodeInput& code, const Vector& vec,
                                    const Table& table, const Options& options) const {
        return run(patches, code, vec, table, options, [](Index, const Sequence&, const Sequence&) {});
    }

    void initialize(std::uint64_t seed) {
        time_in.initialize(fold(seed, "time_in"));
        img_in.initialize(fold(seed, "img_in"));
        txt_in.initialize(fold(seed, "txt_in"));
        for (std::size_t i = 0; i < double_blocks.size(); ++i) {
            double_blocks[i].initialize(fold(fold(seed, "double_blocks"), i));
        }
        final_layer_img.initialize(fold(seed, "final_layer_img"));
        final_layer_txt.initialize(fold(seed, "final_layer_txt"));
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("time_in", self.time_in);
        v("img_in", self.img_in);
        v("txt_in", self.txt_in);
        v("double_blocks", self.double_blocks);
        v("final_layer_img", self.final_layer_img);
        v("final_layer_txt", self.final_layer_txt);
    }

   private:
    /// Both streams after all blocks; the last block computes only what is wanted.
    template <class ApplyBlock, class Observer>
    [[nodiscard]] std::pair<Sequence, Sequence> run_blocks(const Patches& patches, const CodeInput& code, Streams want,
                                                           ApplyBlock&& apply_block, Observer&& observe) const {
        Sequence x = img_in(patches);
        Sequence c = txt_in(code);
        observe(Index{-1}, x, c);
        for (std::size_t i = 0; i < double_blocks.size(); ++i) {
            const auto at = static_cast<Index>(i);
            const Streams wanted = i + 1 == double_blocks.size() ? want : Streams{};
            std::tie(x, c) = apply_block(double_blocks[i], at, x, c, wanted);
            observe(at, x, c);
        }
        return {x, c};
    }

    [[nodiscard]] static std::pair<Sequence, Sequence> apply(const Block& block, const Sequence& x, const Sequence& c,
                                                             const Vector& vec, const Table& table, Streams want,
                                                             bool recompute) {
        if (!recompute || !is_autodiff<B>) {
            return block(x, c, vec, table, want);
        }
        const Block* const at = &block;
        if (!vec.defined()) {
            return checkpoint(
                [at, table, want](const Sequence& image, const Sequence& code) {
                    return (*at)(image, code, Vector{}, table, want);
                },
                x, c);
        }
        return checkpoint([at, table, want](const Sequence& image, const Sequence& code,
                                            const Vector& time) { return (*at)(image, code, time, table, want); },
                          x, c, vec);
    }
};

}  // namespace flowfar
