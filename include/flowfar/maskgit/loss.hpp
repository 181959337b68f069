#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/philox.hpp"
#include "flowfar/maskgit/model.hpp"

namespace flowfar {

/// Settings of the training loss; the defaults are the published ones (MaskGIT, MaskBit).
struct MaskGitLossOptions {
    double label_drop = 0.1;                      ///< probability of no class
    double smoothing = 0.1;                       ///< of the labels
    MaskGitRunOptions run{{0.1, 0.1, 0}, false};  ///< the dropout seed comes from the draws
};

/// The random quantities of one loss evaluation.
struct MaskGitLossDraws {
    PoolVector<std::uint8_t> keep;           ///< [batch], 0 drops the label
    std::vector<std::vector<Index>> hidden;  ///< of each sample: positions token · groups + group, one or more
    std::uint64_t dropout_seed = 0;

    /// Draws for a batch: a pure function of `seed`.
    template <class C>
    [[nodiscard]] static MaskGitLossDraws make(Index batch, const MaskGitLossOptions& options, std::uint64_t seed) {
        constexpr Index positions = CheckedMaskGitConfig<C>::positions;
        MaskGitLossDraws out;
        Random labels(fold(seed, "labels"));
        Random masks(fold(seed, "mask"));
        for (Index i = 0; i < batch; ++i) {
            out.keep.push_back(labels.uniform() < options.label_drop ? 0 : 1);
            const Index count = hidden_in_training(positions, masks.uniform());
            std::vector<Index> order = masks.permutation(positions);
            order.resize(static_cast<std::size_t>(count));
            out.hidden.push_back(std::move(order));
        }
        out.dropout_seed = fold(seed, "dropout");
        return out;
    }
    /// 1 where a position is hidden, [batch, positions].
    [[nodiscard]] std::vector<std::uint8_t> flags(Index positions) const {
        std::vector<std::uint8_t> out(hidden.size() * static_cast<std::size_t>(positions), 0);
        for (std::size_t i = 0; i < hidden.size(); ++i) {
            for (const Index position : hidden[i]) {
                require(position >= 0 && position < positions, "maskgit_loss: hidden position ", position,
                        ", expected 0 to ", positions - 1);
                out[i * static_cast<std::size_t>(positions) + static_cast<std::size_t>(position)] = 1;
            }
        }
        return out;
    }
};

template <class Model>
struct MaskGitLoss {
    using Scalar = Tensor<typename Model::Backend, Shape<>, typename Model::Element>;
    Scalar total;                   ///< mean over samples of the mean over hidden positions
    typename Model::Logits logits;  ///< of all positions
};

/// Cross-entropy of the hidden codewords of tokens with one label each (0 … classes − 1, or `no_class`).
template <class Model>
[[nodiscard]] MaskGitLoss<Model> maskgit_loss(const Model& model, const Tokens& tokens, std::span<const Index> labels,
                                              const MaskGitLossDraws& draws, const MaskGitLossOptions& options = {}) {
    using C = typename Model::Config;
    using T = typename Model::Element;
    using Weights = Tensor<typename Model::Backend, Shape<dyn, 1>, T>;
    const auto batch = static_cast<std::size_t>(tokens.batch);
    require(labels.size() == batch && draws.keep.size() == batch && draws.hidden.size() == batch,
            "maskgit_loss: ", labels.size(), " labels and draws for ", draws.keep.size(), " samples, but ", batch,
            " of tokens");
    std::vector<Index> seen;
    PoolVector<Index> rows;
    std::vector<Index> targets;
    PoolVector<T> weights;
    Model::check(tokens);
    for (std::size_t i = 0; i < batch; ++i) {
        require(!draws.hidden[i].empty(), "maskgit_loss: sample ", i, " hides no position");
        seen.push_back(draws.keep[i] != 0 ? labels[i] : no_class);
        const double weight = 1.0 / static_cast<double>(batch * draws.hidden[i].size());
        for (const Index position : draws.hidden[i]) {
            rows.push_back(static_cast<Index>(i) * C::positions + position);
            targets.push_back(static_cast<Index>(tokens.indices.at(static_cast<std::size_t>(rows.back()))));
            weights.push_back(static_cast<T>(static_cast<float>(weight)));
        }
    }
    MaskGitLoss<Model> out;
    MaskGitRunOptions run = options.run;
    run.dropout.seed = draws.dropout_seed;
    out.logits = model.logits(Model::inputs(tokens, draws.flags(C::positions)), seen, run);
    const auto count = static_cast<Index>(rows.size());
    const auto hidden = gather_rows(reshape<dyn, C::codewords>(out.logits, tokens.batch * C::positions),
                                    Model::Integers::from_host(rows, {count}));
    out.total =
        sum(smoothed_cross_entropy(hidden, targets, options.smoothing) * Weights::from_host(weights, {count, 1}));
    return out;
}

}  // namespace flowfar
