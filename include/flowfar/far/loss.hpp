#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>

#include "flowfar/autoregressive/loss.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/far/model.hpp"

namespace flowfar {

/// Which policy decides how many tokens a masked model does not see in training (autoregressive/token_mask.hpp).
enum class FarMaskPolicy : std::uint8_t { truncated_normal, linear };

/// Where a dropped prompt is replaced by the null context in the training of FAR from text.
enum class PromptDrop : std::uint8_t {
    everywhere,   ///< in both networks, as sampling with guidance has it
    encoder_only  ///< as the released code: its decoder never learns the null context
};

/// Settings of FAR's training loss; the defaults are the published ones.
struct FarLossOptions : TokenLossOptions {
    bool level_per_sample = false;   ///< one level per sample instead of one per batch; a configuration may demand it
    bool frequency_weights = false;  ///< weigh samples by 1 + sin(π/2 · (level + 1) / levels)
    /// Distribution modeling simplification: the target is the unfiltered latent. Without it, the target is the latent
    /// at the next level, so sampling must visit every level.
    bool simplified = true;
    FarMaskPolicy mask = FarMaskPolicy::truncated_normal;
    PromptDrop prompt_drop = PromptDrop::everywhere;
};

/// Weight of a sample at a level: 1 + sin(π/2 · (level + 1) / levels), 2 for the highest frequencies.
[[nodiscard]] inline double frequency_weight(Index level, Index levels) {
    return 1.0 + std::sin(cx::pi / 2.0 * static_cast<double>(level + 1) / static_cast<double>(levels));
}

/// The random quantities of one loss evaluation.
struct FarDraws : TokenDraws {
    PoolVector<Index> levels;       ///< [batch]
    std::optional<TokenMask> mask;  ///< hidden tokens; none if the configuration is not masked

    /// Draws for a batch: a pure function of `seed`.
    template <class C>
    [[nodiscard]] static FarDraws make(Index batch, const FarLossOptions& options, int diffusion_steps,
                                       std::uint64_t seed) {
        constexpr Index tokens = CheckedFarConfig<C>::tokens;
        constexpr Index level_count = CheckedFarConfig<C>::levels;
        FarDraws out;
        out.draw(batch, tokens, options, diffusion_steps, seed);
        Random random(fold(seed, "levels"));
        const auto draw_level = [&] {
            return static_cast<Index>(random.below(static_cast<std::uint64_t>(level_count)));
        };
        const Index shared = draw_level();
        for (Index i = 0; i < batch; ++i) {
            out.levels.push_back(options.level_per_sample || C::level_per_sample ? draw_level() : shared);
        }
        if constexpr (C::masked) {
            Random masks(fold(seed, "mask"));
            // Samples hide equally many tokens, so that they form one batch: the lowest level decides.
            const Index level = *std::min_element(out.levels.begin(), out.levels.end());
            constexpr TruncatedNormalMask truncated_normal{.ignores_level = C::mask_ignores_level};
            const Index hidden = options.mask == FarMaskPolicy::linear
                                     ? LinearMask{}.hidden(tokens, level, level_count, masks)
                                     : truncated_normal.hidden(tokens, level, level_count, masks);
            out.mask.emplace(TokenMask::random(batch, tokens, hidden, masks));
        }
        return out;
    }
};

template <class Model>
using FarLoss = TokenLoss<Model>;

/// FAR's loss of latents [batch, channels, height, width], given the draws and the noise [multiplier·batch·tokens,
/// token_dim]. `see(tokens, mask, run)` is z of low-passed tokens.
template <class Model, class See>
[[nodiscard]] FarLoss<Model> far_loss_with(const Model& model, const typename Model::Latents& latents,
                                           const FarDraws& draws, const typename Model::Head::Rows& noise,
                                           const FarLossOptions& options, See&& see) {
    using B = typename Model::Backend;
    using T = typename Model::Element;
    using C = typename Model::Config;
    using Filter = typename C::Filter;
    using Scalars = typename Model::Head::Scalars;
    const Index batch = latents.extent(0);
    const Index rows = batch * Model::tokens;
    require(static_cast<Index>(draws.levels.size()) == batch, "far_loss: ", draws.levels.size(), " levels for ", batch,
            " latents");
    detail::check_row_steps(draws, options.multiplier, rows, "far_loss");
    PoolVector<Index> next;
    PoolVector<T> row_levels;
    PoolVector<T> weights;
    for (Index i = 0; i < batch; ++i) {
        const Index level = draws.levels[static_cast<std::size_t>(i)];
        require(level >= 0 && level < C::levels, "far_loss: level ", level, ", expected 0 to ", C::levels - 1);
        next.push_back(level + 1);
        const auto value = static_cast<T>(static_cast<float>(level));
        const auto weight = static_cast<T>(static_cast<float>(frequency_weight(level, C::levels)));
        row_levels.insert(row_levels.end(), static_cast<std::size_t>(Model::tokens), value);
        weights.insert(weights.end(), static_cast<std::size_t>(Model::tokens), weight);
    }
    const auto input = low_pass_each<Filter>(latents, std::span<const Index>(draws.levels));
    const auto target = options.simplified ? latents : low_pass_each<Filter>(latents, std::span<const Index>(next));

    FarLoss<Model> out;
    out.z = see(Model::patchify(input), draws.mask ? &*draws.mask : nullptr, detail::drawn_run(options, draws));
    const auto loss = detail::row_losses(model, Model::patchify(target), out.z,
                                         Scalars::from_host(row_levels, {rows, 1}), draws, noise, options.multiplier);
    out.mse = mean(loss.mse);
    out.vb = mean(loss.vb);
    if (options.frequency_weights) {
        const auto once = reshape<1, dyn>(Scalars::from_host(weights, {rows, 1}), rows);
        const auto each = reshape<dyn, dyn>(loss.mse + loss.vb, options.multiplier, rows);
        out.total = mean(Tensor<B, Shape<dyn, dyn>, T>(each * once));
    } else {
        out.total = out.mse + out.vb;
    }
    return out;
}

/// FAR's loss of latents with one label each.
template <class Model>
[[nodiscard]] FarLoss<Model> far_loss(const Model& model, const typename Model::Latents& latents,
                                      std::span<const Index> labels, const FarDraws& draws,
                                      const typename Model::Head::Rows& noise, const FarLossOptions& options = {}) {
    const auto seen = detail::seen_labels<Model>(labels, latents.extent(0), draws, "far_loss");
    return far_loss_with(model, latents, draws, noise, options,
                         [&](const auto& x, const TokenMask* mask, const BlockRun& run) {
                             return model.conditions(x, std::span<const Index>(seen), mask, run);
                         });
}

}  // namespace flowfar
