#pragma once

#include <span>

#include "flowfar/autoregressive/block_run.hpp"
#include "flowfar/autoregressive/class_embedding.hpp"
#include "flowfar/core/memory_pool.hpp"

namespace flowfar {

/// Settings of the training loss that all paradigms have; the defaults are the published ones.
struct TokenLossOptions {
    Index multiplier = 4;                ///< copies of every token, each with its own diffusion step and noise
    double label_drop = 0.1;             ///< probability of the null condition
    BlockRun run{{0.1, 0.1, 0}, false};  ///< the dropout seed comes from the draws
};

/// The random quantities of one loss evaluation that all paradigms have.
struct TokenDraws {
    PoolVector<Index> keep;        ///< [batch], 0 drops the label
    PoolVector<Index> steps;       ///< [multiplier · batch · tokens], diffusion steps
    std::uint64_t noise_seed = 0;  ///< ε is the N(0, 1) stream of this seed
    std::uint64_t dropout_seed = 0;

    /// Draws for a batch of `tokens` tokens each: a pure function of `seed`.
    void draw(Index batch, Index tokens, const TokenLossOptions& options, int diffusion_steps, std::uint64_t seed) {
        Random labels(fold(seed, "labels"));
        for (Index i = 0; i < batch; ++i) {
            keep.push_back(labels.uniform() < options.label_drop ? 0 : 1);
        }
        Random random(fold(seed, "steps"));
        steps.resize(static_cast<std::size_t>(options.multiplier * batch * tokens));
        for (Index& step : steps) {
            step = static_cast<Index>(random.below(static_cast<std::uint64_t>(diffusion_steps)));
        }
        noise_seed = fold(seed, "noise");
        dropout_seed = fold(seed, "dropout");
    }
};

/// The training loss and its parts: means over all rows that count; `total` is weighted.
template <class Model>
struct TokenLoss {
    using Scalar = Tensor<typename Model::Backend, Shape<>, typename Model::Element>;
    Scalar total;
    Scalar mse;
    Scalar vb;
    typename Model::Conditions z;
};

namespace detail {

/// The options' run with the draws' dropout.
[[nodiscard]] inline BlockRun drawn_run(const TokenLossOptions& options, const TokenDraws& draws) {
    BlockRun run = options.run;
    run.dropout.seed = draws.dropout_seed;
    return run;
}

/// The labels that the model sees: those of dropped samples are `no_class`. `loss` is the caller's name for errors.
template <class Model>
[[nodiscard]] PoolVector<Index> seen_labels(std::span<const Index> labels, Index batch, const TokenDraws& draws,
                                            std::string_view loss) {
    require(static_cast<Index>(labels.size()) == batch && draws.keep.size() == labels.size(), loss, ": ", labels.size(),
            " labels and ", draws.keep.size(), " label draws for ", batch, " latents");
    PoolVector<Index> seen;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        check_label(Model::Config::name, labels[i], Model::Config::classes);
        seen.push_back(draws.keep[i] != 0 ? labels[i] : no_class);
    }
    return seen;
}

/// Throws `Error` unless there is a diffusion step for every copy of `rows` tokens.
inline void check_row_steps(const TokenDraws& draws, Index multiplier, Index rows, std::string_view loss) {
    require(multiplier >= 1 && static_cast<Index>(draws.steps.size()) == multiplier * rows, loss, ": ",
            draws.steps.size(), " diffusion steps for ", multiplier, " times ", rows, " tokens");
}

/// The diffusion loss of every row, [multiplier·batch·tokens, 1] each: targets [batch, tokens, token_dim], z [batch,
/// tokens, width], what the head is told about each row [batch·tokens, 1] or an undefined tensor, noise
/// [multiplier·batch·tokens, token_dim].
template <class Model, AnyTensor X, AnyTensor Z>
[[nodiscard]] auto row_losses(const Model& model, const X& target, const Z& z,
                              const typename Model::Head::Scalars& index, const TokenDraws& draws,
                              const typename Model::Head::Rows& noise, Index multiplier) {
    return model.head.loss(Model::flatten(target), Model::flatten(z), index, draws.steps, noise, multiplier);
}

}  // namespace detail

}  // namespace flowfar
