#pragma once

#include <string_view>

#include "flowfar/autoregressive/train.hpp"
#include "flowfar/raster/loss.hpp"

namespace flowfar {

using RasterTrainOptions = TokenTrainOptions<RasterLossOptions>;

/// How TokenTrainer trains a raster model of configuration C.
template <class C>
struct RasterRecipe {
    static constexpr std::string_view name = "RasterTrainer";
    using Config = C;
    template <class B, class T>
    using Model = Raster<C, B, T>;
    using LossOptions = RasterLossOptions;
    using Draws = RasterDraws;
    static constexpr auto loss = [](const auto&... arguments) { return raster_loss(arguments...); };
};

/// Trains a raster model of configuration C on backend B, see TokenTrainer.
///
///     RasterTrainer<RasterTiny, Cpu> trainer({}, [](auto& model) { model.initialize(1); });
///     const double loss = trainer.step(latents, labels).loss;
template <class C, class B, class T = float>
using RasterTrainer = TokenTrainer<RasterRecipe<C>, B, T>;

}  // namespace flowfar
