#pragma once

#include <span>
#include <utility>
#include <vector>

#include "flowfar/far/loss.hpp"
#include "flowfar/optim/trainer.hpp"

namespace flowfar {

/// Settings of FAR's training; the defaults are the published ones (arXiv 2503.05305, section 4, and the released
/// script): AdamW with weight decay on matrices, gradient norm limited to 3, an average of every step. The average's
/// start is published as `EmaStart::published`. The published
/// learning rate is 1e-4 · batch / 256 after a linear warm-up of 100 epochs.
struct FarTrainOptions {
    AdamOptions adam{.learning_rate = 1e-4, .beta2 = 0.95, .weight_decay = 0.02};
    RateSchedule rate{};  ///< constant, no warm-up
    double clip = 3.0;    ///< largest gradient norm; 0 switches clipping off
    double ema_decay = 0.9999;
    std::int64_t ema_every = 1;  ///< steps between updates of the average; 0: no average
    EmaStart ema_start = EmaStart::warm;
    FarLossOptions loss;
    std::uint64_t seed = 0;
};

/// What one training step reports.
struct FarTrainReport {
    double loss = 0.0;  ///< weighted by frequency if the options say so
    double mse = 0.0;   ///< of ε
    double vb = 0.0;    ///< variational bound
    double gradient_norm = 0.0;
    double learning_rate = 0.0;

    [[nodiscard]] static FarTrainReport of(std::span<const double> numbers) {
        return {numbers[0], numbers[1], numbers[2], 0.0, 0.0};
    }
};

/// Trains a FAR of configuration C on backend B: model, average, optimizer and step counter. Every random draw is a
/// function of (seed, step), so a trainer restored at step n continues as the first would have.
///
///     FarTrainer<FarTiny, Cpu> trainer({}, [](auto& model) { model.initialize(1); });
///     const double loss = trainer.step(latents, labels).loss;
template <class C, class B, class T = float>
class FarTrainer : public Trainer<Far<C, Autodiff<B>, T>, Far<C, B, T>> {
   public:
    static_assert(!is_autodiff<B>, "FarTrainer: name the plain backend; the trainer adds the tape itself");
    using Base = Trainer<Far<C, Autodiff<B>, T>, Far<C, B, T>>;
    using typename Base::Model;
    using typename Base::PlainModel;
    using Latents = typename PlainModel::Latents;
    using Noise = typename PlainModel::Head::Rows;
    using typename Base::Numbers;
    using Pending = PendingReport<B, FarTrainReport>;

    /// Starts from the parameters that `prepare(model)` sets: `initialize`, or a loader.
    template <class Prepare>
    FarTrainer(FarTrainOptions options, Prepare&& prepare)
        : Base(std::forward<Prepare>(prepare)), options_(std::move(options)) {
        require(options_.loss.label_drop >= 0.0 && options_.loss.label_drop <= 1.0,
                "FarTrainer: label_drop must lie in [0, 1], found ", options_.loss.label_drop);
        std::vector<ParameterRef<Autodiff<B>>> decayed;
        std::vector<ParameterRef<Autodiff<B>>> others;
        for (const auto& p : this->trained()) {
            (has_weight_decay(p) ? decayed : others).push_back(p);
        }
        AdamOptions without = options_.adam;
        without.weight_decay = 0.0;
        this->adam().add_group(std::move(decayed), options_.adam);
        this->adam().add_group(std::move(others), without);
        if (options_.ema_every > 0) {
            this->ema().emplace(this->trained(), options_.ema_decay, options_.ema_every, options_.ema_start);
        }
    }

    /// One optimizer step on latents [batch, channels, height, width] of unit variance with one label each (0 … classes
    /// − 1 or `no_class`).
    FarTrainReport step(const Latents& latents, std::span<const Index> labels) {
        return queue_step(latents, labels).get();
    }
    /// `step` without waiting for the device: ask for the report when later work has been queued. A gradient that is
    /// not finite is an error of `get` then, and leaves parameters and moments as they were.
    [[nodiscard]] Pending queue_step(const Latents& latents, std::span<const Index> labels) {
        Numbers numbers;
        queue_gradients(latents, labels, numbers);
        return this->template end_step<FarTrainReport>(options_, std::move(numbers));
    }

    /// Adds the gradients of one batch with the draws of the current step.
    FarTrainReport accumulate(const Latents& latents, std::span<const Index> labels) {
        Numbers numbers;
        queue_gradients(latents, labels, numbers);
        numbers.fetch();
        return FarTrainReport::of(numbers.values());
    }

    [[nodiscard]] const FarTrainOptions& options() const { return options_; }

    /// Matrices outside the diffusion MLP, tables and positions included; no vectors, no biases.
    [[nodiscard]] static bool has_weight_decay(const ParameterRef<Autodiff<B>>& p) {
        return p.extents().rank() > 1 && !p.name.ends_with(".bias") && !p.name.starts_with("diffloss.");
    }

   private:
    void queue_gradients(const Latents& latents, std::span<const Index> labels, Numbers& numbers) {
        const FarLossOptions& o = options_.loss;
        const auto draws = FarDraws::make<C>(latents.extent(0), o, this->model().head.process.steps(),
                                             fold(options_.seed, static_cast<std::uint64_t>(this->step_count())));
        const Index rows = o.multiplier * latents.extent(0) * Model::tokens;
        const Noise noise = Noise::normal({rows, Model::token_dim}, draws.noise_seed);
        const auto loss = far_loss(this->model(), typename Model::Latents(Autodiff<B>::constant(latents.handle())),
                                   labels, draws, typename Model::Head::Rows(Autodiff<B>::constant(noise.handle())), o);
        backward(loss.total);
        for (const auto& part : {loss.total, loss.mse, loss.vb}) {
            numbers.add(value_of<Autodiff<B>>(part.handle()));
        }
    }

    FarTrainOptions options_;
};

}  // namespace flowfar
