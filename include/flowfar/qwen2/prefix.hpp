#pragma once

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "flowfar/qwen2/model.hpp"

namespace flowfar {

/// Reads rows that begin alike, as prompts behind an instruction do: the beginning's keys and values are computed once,
/// and so are padding tokens right behind it, which depend on nothing else. A row then costs its other tokens.
///
///     const Qwen2Prefix reader(model, instruction, 300, tokenizer.padding());
///     const auto states = reader(row.ids, row.mask);   // [1, 300, width]: those after the instruction
template <class Model>
class Qwen2Prefix {
   public:
    using Sequence = typename Model::Sequence;

    /// `prefix` are the tokens that all rows begin with, `length` the number of tokens after them, `padding` the one
    /// that a mask hides. The model is shared, not copied.
    Qwen2Prefix(const Model& model, std::span<const Index> prefix, Index length, Index padding)
        : model_(model), prefix_(prefix.begin(), prefix.end()), length_(length), padding_(padding) {
        require(!prefix_.empty() && length >= 1, Model::Config::name, ": a prefix of ", prefix_.size(),
                " tokens before ", length, ", expected at least one of each");
        keys_.resize(model_.blocks.size());
        const auto count = static_cast<Index>(prefix_.size());
        static_cast<void>(model_.encode(model_.embed(prefix_, 1), Model::surroundings(1, count, {}), keys_));
        const std::vector<Index> ids(static_cast<std::size_t>(length), padding);
        padding_states_ = read(ids, std::vector<Index>(ids.size(), 0), 0);
    }

    /// The states [1, length, width] of a row [prefix, length] after its prefix; `mask` as Qwen2 takes it. Throws
    /// `Error` for a row that begins otherwise, and for a mask that hides a token of the prefix, whose keys are
    /// computed already.
    [[nodiscard]] Sequence operator()(std::span<const Index> ids, std::span<const Index> mask) const {
        require(ids.size() == prefix_.size() + static_cast<std::size_t>(length_) && mask.size() == ids.size() &&
                    std::ranges::equal(ids.first(prefix_.size()), prefix_),
                Model::Config::name, ": expected a row of the prefix and ", length_, " tokens, found ", ids.size(),
                " tokens and a mask of ", mask.size());
        const auto of_prefix = mask.first(prefix_.size());
        const auto hidden = std::ranges::find(of_prefix, 0);
        require(hidden == of_prefix.end(), Model::Config::name, ": the mask hides token ", hidden - of_prefix.begin(),
                " of the prefix, expected none");
        ids = ids.subspan(prefix_.size());
        mask = mask.subspan(prefix_.size());
        std::size_t padding = 0;
        while (padding < ids.size() && ids[padding] == padding_ && mask[padding] == 0) {
            ++padding;
        }
        const auto count = static_cast<Index>(padding);
        if (count == length_) {
            return padding_states_;
        }
        const Sequence rest = read(ids.subspan(padding), mask.subspan(padding), count);
        return count == 0 ? rest : Sequence(concat<1>(Sequence(slice<1>(padding_states_, 0, count)), rest));
    }

   private:
    /// Of tokens behind the prefix and `skipped` others, which are hidden.
    [[nodiscard]] Sequence read(std::span<const Index> ids, std::span<const Index> mask, Index skipped) const {
        const auto before = static_cast<Index>(prefix_.size());
        std::vector<Index> all(prefix_.size(), 1);
        all.insert(all.end(), mask.begin(), mask.end());
        auto keys = keys_;
        const auto around = Model::surroundings(1, static_cast<Index>(all.size()), all, before, before + skipped);
        return model_.encode(model_.embed(ids, 1), around, keys);
    }

    Model model_;
    std::vector<Index> prefix_;
    Index length_;
    Index padding_;
    typename Model::Keys keys_;
    Sequence padding_states_;
};

}  // namespace flowfar
