#pragma once

#include <string_view>

#include "flowfar/autoregressive/train.hpp"
#include "flowfar/far/loss.hpp"

namespace flowfar {

using FarTrainOptions = TokenTrainOptions<FarLossOptions>;
using FarTrainReport = TokenTrainReport;

/// How TokenTrainer trains a FAR of configuration C.
template <class C>
struct FarRecipe {
    static constexpr std::string_view name = "FarTrainer";
    using Config = C;
    template <class B, class T>
    using Model = Far<C, B, T>;
    using LossOptions = FarLossOptions;
    using Draws = FarDraws;
    static constexpr auto loss = [](const auto&... arguments) { return far_loss(arguments...); };
};

/// Trains a FAR of configuration C on backend B, see TokenTrainer.
///
///     FarTrainer<FarTiny, Cpu> trainer({}, [](auto& model) { model.initialize(1); });
///     const double loss = trainer.step(latents, labels).loss;
template <class C, class B, class T = float>
using FarTrainer = TokenTrainer<FarRecipe<C>, B, T>;

}  // namespace flowfar
