#pragma once

#include <optional>
#include <span>

#include "flowfar/autoregressive/loss.hpp"
#include "flowfar/mar/model.hpp"

namespace flowfar {

using MarLossOptions = TokenLossOptions;
template <class Model>
using MarLoss = TokenLoss<Model>;

/// The random quantities of one evaluation of MAR's loss.
struct MarDraws : TokenDraws {
    std::optional<TokenMask> mask;  ///< hidden tokens

    /// Draws for a batch: a pure function of `seed`. One share of hidden tokens for all samples, normal(1, 0.25)
    /// truncated to [0.7, 1].
    template <class C>
    [[nodiscard]] static MarDraws make(Index batch, const MarLossOptions& options, int diffusion_steps,
                                       std::uint64_t seed) {
        constexpr Index tokens = CheckedTokenConfig<C>::tokens;
        MarDraws out;
        out.draw(batch, tokens, options, diffusion_steps, seed);
        Random masks(fold(seed, "mask"));
        const Index hidden = TruncatedNormalMask{.ignores_level = true}.hidden(tokens, 0, 1, masks);
        out.mask.emplace(TokenMask::random(batch, tokens, hidden, masks));
        return out;
    }
};

/// MAR's loss of latents [batch, channels, height, width] with one label each, given the draws and the noise
/// [multiplier·batch·tokens, token_dim]: the mean over the hidden tokens.
template <class Model>
[[nodiscard]] MarLoss<Model> mar_loss(const Model& model, const typename Model::Latents& latents,
                                      std::span<const Index> labels, const MarDraws& draws,
                                      const typename Model::Head::Rows& noise, const MarLossOptions& options = {}) {
    using T = typename Model::Element;
    using Scalars = typename Model::Head::Scalars;
    const Index batch = latents.extent(0);
    const Index rows = batch * Model::tokens;
    const auto seen = detail::seen_labels<Model>(labels, batch, draws, "mar_loss");
    detail::check_row_steps(draws, options.multiplier, rows, "mar_loss");
    require(
        draws.mask && draws.mask->batch() == batch && draws.mask->tokens() == Model::tokens && draws.mask->hidden() > 0,
        "mar_loss: expected a mask of ", batch, " samples of ", Model::tokens, " tokens that hides at least one");
    const auto tokens = Model::patchify(latents);
    MarLoss<Model> out;
    out.z = model.conditions(tokens, std::span<const Index>(seen), &*draws.mask, detail::drawn_run(options, draws));
    const auto loss = detail::row_losses(model, tokens, out.z, Scalars{}, draws, noise, options.multiplier);
    PoolVector<T> weights;  // of a mean over all rows
    const double weight = static_cast<double>(Model::tokens) / static_cast<double>(draws.mask->hidden());
    for (Index copy = 0; copy < options.multiplier; ++copy) {
        for (const Index flag : draws.mask->flags()) {
            weights.push_back(static_cast<T>(flag != 0 ? static_cast<float>(weight) : 0.0F));
        }
    }
    const auto share = Scalars::from_host(weights, {options.multiplier * rows, 1});
    out.mse = mean(loss.mse * share);
    out.vb = mean(loss.vb * share);
    out.total = out.mse + out.vb;
    return out;
}

}  // namespace flowfar
