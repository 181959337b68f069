#pragma once

#include <span>

#include "flowfar/autoregressive/loss.hpp"
#include "flowfar/raster/model.hpp"

namespace flowfar {

using RasterLossOptions = TokenLossOptions;
template <class Model>
using RasterLoss = TokenLoss<Model>;

/// The random quantities of one evaluation of the loss.
struct RasterDraws : TokenDraws {
    /// Draws for a batch: a pure function of `seed`.
    template <class C>
    [[nodiscard]] static RasterDraws make(Index batch, const RasterLossOptions& options, int diffusion_steps,
                                          std::uint64_t seed) {
        RasterDraws out;
        out.draw(batch, CheckedTokenConfig<C>::tokens, options, diffusion_steps, seed);
        return out;
    }
};

/// The loss of latents [batch, channels, height, width] with one label each, given the draws and the noise
/// [multiplier·batch·tokens, token_dim]: teacher forcing, the mean over all tokens.
template <class Model>
[[nodiscard]] RasterLoss<Model> raster_loss(const Model& model, const typename Model::Latents& latents,
                                            std::span<const Index> labels, const RasterDraws& draws,
                                            const typename Model::Head::Rows& noise,
                                            const RasterLossOptions& options = {}) {
    const Index batch = latents.extent(0);
    const auto seen = detail::seen_labels<Model>(labels, batch, draws, "raster_loss");
    detail::check_row_steps(draws, options.multiplier, batch * Model::tokens, "raster_loss");
    const auto tokens = Model::patchify(latents);
    RasterLoss<Model> out;
    out.z = model.conditions(tokens, std::span<const Index>(seen), detail::drawn_run(options, draws));
    const auto loss = detail::row_losses(model, tokens, out.z, {}, draws, noise, options.multiplier);
    out.mse = mean(loss.mse);
    out.vb = mean(loss.vb);
    out.total = out.mse + out.vb;
    return out;
}

}  // namespace flowfar
