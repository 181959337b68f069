#pragma once

#include <string_view>

#include "flowfar/autoregressive/train.hpp"
#include "flowfar/mar/loss.hpp"

namespace flowfar {

using MarTrainOptions = TokenTrainOptions<MarLossOptions>;

/// How TokenTrainer trains a MAR of configuration C.
template <class C>
struct MarRecipe {
    static constexpr std::string_view name = "MarTrainer";
    using Config = C;
    template <class B, class T>
    using Model = Mar<C, B, T>;
    using LossOptions = MarLossOptions;
    using Draws = MarDraws;
    static constexpr auto loss = [](const auto&... arguments) { return mar_loss(arguments...); };
};

/// Trains a MAR of configuration C on backend B, see TokenTrainer.
///
///     MarTrainer<MarTiny, Cpu> trainer({}, [](auto& model) { model.initialize(1); });
///     const double loss = trainer.step(latents, labels).loss;
template <class C, class B, class T = float>
using MarTrainer = TokenTrainer<MarRecipe<C>, B, T>;

}  // namespace flowfar
