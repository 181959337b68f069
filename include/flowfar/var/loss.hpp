#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "flowfar/autoregressive/loss.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/var/model.hpp"

namespace flowfar {

using VarLossOptions = TokenLossOptions;
/// The loss with the mean of every scale: scales differ in range, which is what FAR's paper finds wrong with residual
/// scales (arXiv 2503.05305, table 4).
template <class Model>
struct VarLoss : TokenLoss<Model> {
    std::vector<typename TokenLoss<Model>::Scalar> scale_loss;
};

/// The random quantities of one evaluation of the loss.
struct VarDraws : TokenDraws {
    /// Draws for a batch: a pure function of `seed`.
    template <class C>
    [[nodiscard]] static VarDraws make(Index batch, const VarLossOptions& options, int diffusion_steps,
                                       std::uint64_t seed) {
        VarDraws out;
        out.draw(batch, CheckedVarConfig<C>::length, options, diffusion_steps, seed);
        return out;
    }
};

/// The loss of latents [batch, channels, side, side] with one label each, given the draws and the noise
/// [multiplier·batch·tokens, channels], tokens being those of all scales: teacher forcing, the mean over all tokens.
template <class Model>
[[nodiscard]] VarLoss<Model> var_loss(const Model& model, const typename Model::Latents& latents,
                                      std::span<const Index> labels, const VarDraws& draws,
                                      const typename Model::Head::Rows& noise, const VarLossOptions& options = {}) {
    using Config = typename Model::Config;
    using T = typename Model::Element;
    using Scalars = typename Model::Head::Scalars;
    const Index batch = latents.extent(0);
    const Index rows = batch * Config::length;
    const auto seen = detail::seen_labels<Model>(labels, batch, draws, "var_loss");
    detail::check_row_steps(draws, options.multiplier, rows, "var_loss");
    PoolVector<T> index;
    for (Index sample = 0; sample < batch; ++sample) {
        for (const Index side : Config::scales) {
            index.insert(index.end(), static_cast<std::size_t>(side * side), static_cast<T>(static_cast<float>(side)));
        }
    }
    const auto scales = Model::Pyramid::of(latents, Config::scales);
    VarLoss<Model> out;
    out.z = model.conditions(scales.inputs, std::span<const Index>(seen), detail::drawn_run(options, draws));
    const auto loss = detail::row_losses(model, scales.targets, out.z, Scalars::from_host(index, {rows, 1}), draws,
                                         noise, options.multiplier);
    out.mse = mean(loss.mse);
    out.vb = mean(loss.vb);
    out.total = out.mse + out.vb;
    const auto each = reshape<dyn, Config::length>(detach(Scalars(loss.mse + loss.vb)), options.multiplier * batch);
    for (std::size_t k = 0; k < Config::scales.size(); ++k) {
        out.scale_loss.push_back(mean(slice<1>(each, Config::first(k), Config::first(k + 1))));
    }
    return out;
}

}  // namespace flowfar
