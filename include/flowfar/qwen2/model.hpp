#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "flowfar/core/ops.hpp"
#include "flowfar/nn/blocks.hpp"
#include "flowfar/qwen2/block.hpp"

namespace flowfar {

/// The language model Qwen2 (arXiv 2407.10671) as a text encoder: token ids → the normalized hidden states after the
/// last block. Configuration C (qwen2/config.hpp), backend B, element type T. There is no output head.
///
///     const auto model = flowfar::load<flowfar::Qwen2<flowfar::Qwen1B5, flowfar::Cpu>>("model.safetensors");
template <class C, class B, class T>
class Qwen2 {
   public:
    using Config = CheckedQwen2Config<C>;
    using Backend = B;
    using Element = T;
    using Block = Qwen2Block<C, B, T>;
    using Sequence = typename Block::Sequence;  // [batch, tokens, hidden]
    using Surroundings = Qwen2Surroundings<C, B, T>;
    using Keys = std::vector<typename Block::Keys>;  // of each block
    static constexpr Index hidden = C::hidden;

    using Table = Tensor<B, Shape<C::vocabulary, hidden>, T>;
    Table embedding = make_parameter<Table>();
    std::vector<Block> blocks = make_blocks<Block>(C::layers);
    RmsNorm<B, hidden, T> norm;

    /// `ids` [batch, tokens] → the last hidden states [batch, tokens, hidden]. A token attends to those before it and
    /// to itself, as far as `mask` [batch, tokens] is 1 there; an empty mask is 1 everywhere. Positions count from the
    /// row's beginning, padding included.
    [[nodiscard]] Sequence operator()(std::span<const Index> ids, Index batch, std::span<const Index> mask = {}) const {
        return encode(embed(ids, batch), mask);
    }
    /// States of embedded tokens x [batch, tokens, width].
    [[nodiscard]] Sequence encode(Sequence x, std::span<const Index> mask = {}) const {
        const Surroundings around = surroundings(x.extent(0), x.extent(1), mask);
        for (const Block& block : blocks) {  // each one's keys and values are gone before the next one's are made
            x = block(x, around);
        }
        return normalized(x);
    }
    /// States of tokens x that stand behind others, whose keys are given; x's are added.
    [[nodiscard]] Sequence encode(Sequence x, const Surroundings& around, Keys& keys) const {
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            x = blocks[i](x, around, keys[i]);
        }
        return normalized(x);
    }

    [[nodiscard]] Sequence embed(std::span<const Index> ids, Index batch) const {
        const auto count = static_cast<Index>(ids.size());
        require(batch >= 1 && count % batch == 0, C::name, ": ", count, " tokens in ", batch, " rows");
        for (const Index id : ids) {
            require(id >= 0 && id < C::vocabulary, C::name, ": token ", id, ", expected 0 to ", C::vocabulary - 1,
                    "; does the tokenizer belong to this model?");
        }
        const auto rows = Tensor<B, Shape<dyn>, Index>::from_host(ids, {count});
        return reshape<dyn, dyn, hidden>(gather_rows(embedding, rows), batch, count / batch);
    }

    /// Of rows of so many tokens, of which the first `before` are not in the run but have keys; the run's stand at
    /// `first` and after. Throws `Error` unless the first token of every row is real, since it would attend to nothing.
    [[nodiscard]] static Surroundings surroundings(Index batch, Index tokens, std::span<const Index> mask,
                                                   Index before = 0, Index first = 0) {
        Surroundings out;
        std::vector<Index> positions;
        for (Index i = before; i < tokens; ++i) {
            positions.push_back(first + i - before);
        }
        out.positions = rope_half_table<B, Config::head_size, T>(positions, C::rope_base);
        require(mask.empty() || static_cast<Index>(mask.size()) == batch * tokens, C::name, ": a mask of ", mask.size(),
                " for ", batch, " rows of ", tokens, " tokens");
        if (std::find(mask.begin(), mask.end(), 0) == mask.end()) {
            return out;
        }
        for (Index row = 0; row < batch; ++row) {
            require(tokens == 0 || mask[static_cast<std::size_t>(row * tokens)] != 0, C::name, ": row ", row,
                    " begins with a masked token, which would attend to nothing");
        }
        out.keys = KeyMask<B>::from_host(mask, {batch, tokens});
        return out;
    }

    /// A model with fresh random parameters.
    [[nodiscard]] static Qwen2 random(std::uint64_t seed) {
        Qwen2 model;
        model.initialize(seed);
        return model;
    }
    void initialize(std::uint64_t seed) {
        init::normal(embedding, 0.02, fold(seed, "embed_tokens"));
        for (std::size_t i = 0; i < blocks.size(); ++i) {
            blocks[i].initialize(fold(fold(seed, "layers"), i));
        }
        norm.initialize(0);
    }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("embed_tokens.weight", self.embedding);
        v("layers", self.blocks);
        v("norm.weight", self.norm.scale);
    }

   private:
    [[nodiscard]] Sequence normalized(const Sequence& x) const { return rms_norm(x, norm.scale, C::epsilon); }
};

}  // namespace flowfar
