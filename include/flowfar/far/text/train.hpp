#pragma once

#include <string_view>

#include "flowfar/autoregressive/train.hpp"
#include "flowfar/far/text/loss.hpp"
#include "flowfar/far/train.hpp"

namespace flowfar {

/// How TokenTrainer trains a FAR from text of configuration C.
template <class C>
struct FarTextRecipe {
    static constexpr std::string_view name = "FarTextTrainer";
    using Config = C;
    template <class B, class T>
    using Model = FarText<C, B, T>;
    using LossOptions = FarLossOptions;
    using Draws = FarDraws;
    static constexpr auto loss = [](const auto&... arguments) { return far_text_loss(arguments...); };
};

/// Trains a FAR from text of configuration C on backend B: as `FarTrainer`, with contexts of prompts in place of
/// labels. The share `loss.label_drop` of them is replaced by the learned null context where `loss.prompt_drop` says;
/// the model has no dropout.
///
///     FarTextTrainer<FarText256, Cpu> trainer({}, [](auto& model) { model.initialize(1); });
///     const double loss = trainer.step(latents, context).loss;
template <class C, class B, class T = float>
using FarTextTrainer = TokenTrainer<FarTextRecipe<C>, B, T>;

}  // namespace flowfar
