#pragma once

#include <utility>

#include "flowfar/far/text/loss.hpp"
#include "flowfar/far/train.hpp"

namespace flowfar {

/// Trains a FAR from text of configuration C on backend B: as `FarTrainer`, with contexts of prompts in place of
/// labels. The share `loss.label_drop` of them is replaced by the learned null context where `drop` says; the model has
/// no dropout.
///
///     FarTextTrainer<FarText256, Cpu> trainer({}, [](auto& model) { model.initialize(1); });
///     const double loss = trainer.step(latents, context).loss;
template <class C, class B, class T = float>
class FarTextTrainer : public FarTrainerFrame<C, FarText<C, Autodiff<B>, T>, FarText<C, B, T>> {
   public:
    static_assert(!is_autodiff<B>, "FarTextTrainer: name the plain backend; the trainer adds the tape itself");
    using Base = FarTrainerFrame<C, FarText<C, Autodiff<B>, T>, FarText<C, B, T>>;
    using typename Base::Latents;
    using typename Base::Model;
    using typename Base::Numbers;
    using typename Base::Pending;
    using Context = typename Base::PlainModel::Context;

    /// Starts from the parameters that `prepare(model)` sets: `initialize`, or a loader.
    template <class Prepare>
    FarTextTrainer(FarTrainOptions options, Prepare&& prepare)
        : Base(std::move(options), std::forward<Prepare>(prepare)) {}

    /// One optimizer step on latents [batch, channels, height, width] of unit variance with one context each.
    FarTrainReport step(const Latents& latents, const Context& context) { return queue_step(latents, context).get(); }
    /// `step` without waiting for the device, as `FarTrainer::queue_step`.
    [[nodiscard]] Pending queue_step(const Latents& latents, const Context& context) {
        return this->queue_step_of([&](Numbers& numbers) {
            const typename Model::Context constant(Autodiff<B>::constant(context.handle()));
            this->queue_gradients(latents, numbers,
                                  [&](const auto& x, const auto& draws, const auto& noise, const auto& o) {
                                      return far_text_loss(this->model(), x, constant, draws, noise, o);
                                  });
        });
    }
};

}  // namespace flowfar
