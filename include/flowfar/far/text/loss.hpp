#pragma once

#include "flowfar/far/loss.hpp"
#include "flowfar/far/text/model.hpp"

namespace flowfar {

/// FarText's loss of latents [batch, channels, height, width] with one context each. The model has no dropout, so that
/// of `options.run` nothing is used.
template <class Model>
[[nodiscard]] FarLoss<Model> far_text_loss(const Model& model, const typename Model::Latents& latents,
                                           const typename Model::Context& context, const FarDraws& draws,
                                           const typename Model::Head::Rows& noise,
                                           const FarLossOptions& options = {}) {
    require(context.extent(0) == latents.extent(0) && static_cast<Index>(draws.keep.size()) == latents.extent(0),
            "far_text_loss: ", context.extent(0), " contexts and ", draws.keep.size(), " drops for ", latents.extent(0),
            " latents");
    require(!options.run.checkpoint_blocks, "far_text_loss: blocks cannot be recomputed");
    const auto kept = model.embed(context, draws.keep);
    const auto decoder = options.prompt_drop == PromptDrop::everywhere ? kept : model.embed(context);
    return far_loss_with(
        model, latents, draws, noise, options, [&](const auto& x, const TokenMask* mask, const BlockRun& /*run*/) {
            const auto seen = model.encode(model.encoder_keys(kept), x, mask);  // then its keys are free
            return model.decode(seen, model.decoder_keys(decoder), mask);
        });
}

}  // namespace flowfar
