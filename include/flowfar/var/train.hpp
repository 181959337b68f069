#pragma once

#include <string_view>

#include "flowfar/autoregressive/train.hpp"
#include "flowfar/var/loss.hpp"

namespace flowfar {

using VarTrainOptions = TokenTrainOptions<VarLossOptions>;

/// How TokenTrainer trains a VAR of configuration C.
template <class C>
struct VarRecipe {
    static constexpr std::string_view name = "VarTrainer";
    using Config = C;
    template <class B, class T>
    using Model = Var<C, B, T>;
    using LossOptions = VarLossOptions;
    using Draws = VarDraws;
    static constexpr auto loss = [](const auto&... arguments) { return var_loss(arguments...); };
};

/// Trains a VAR of configuration C on backend B, see TokenTrainer.
///
///     VarTrainer<VarTiny, Cpu> trainer({}, [](auto& model) { model.initialize(1); });
///     const double loss = trainer.step(latents, labels).loss;
template <class C, class B, class T = float>
using VarTrainer = TokenTrainer<VarRecipe<C>, B, T>;

}  // namespace flowfar
