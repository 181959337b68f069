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

/// What trainers of FAR's models have in common, whatever these are told to generate: model, average, optimizer and
/// step counter. Every random draw is a function of (seed, step), so a trainer restored at step n continues as the
/// first would have. `M` is the model of configuration C on the tape, `PlainM` the one on the plain backend.
template <class C, class M, class PlainM>
class FarTrainerFrame : public Trainer<M, PlainM> {
   public:
    using Base = Trainer<M, PlainM>;
    using typename Base::A;
    using typename Base::Model;
    using typename Base::PlainModel;
    using B = Plain<A>;
    using Latents = typename PlainModel::Latents;
    using Noise = typename PlainModel::Head::Rows;
    using typename Base::Numbers;
    using Pending = PendingReport<B, FarTrainReport>;

    [[nodiscard]] const FarTrainOptions& options() const { return options_; }

    /// Matrices outside the diffusion MLP, tables and positions included; no vectors, no biases.
    [[nodiscard]] static bool has_weight_decay(const ParameterRef<A>& p) {
        return p.extents().rank() > 1 && !p.name.ends_with(".bias") && !p.name.starts_with("diffloss.");
    }

   protected:
    /// Starts from the parameters that `prepare(model)` sets: `initialize`, or a loader.
    template <class Prepare>
    FarTrainerFrame(FarTrainOptions options, Prepare&& prepare)
        : Base(std::forward<Prepare>(prepare)), options_(std::move(options)) {
        require(options_.loss.label_drop >= 0.0 && options_.loss.label_drop <= 1.0,
                "FarTrainer: label_drop must lie in [0, 1], found ", options_.loss.label_drop);
        std::vector<ParameterRef<A>> decayed;
        std::vector<ParameterRef<A>> others;
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

    /// Adds the gradients of `loss(latents, draws, noise, options)` with the draws of the current step.
    template <class Loss>
    void queue_gradients(const Latents& latents, Numbers& numbers, Loss&& loss) {
        const FarLossOptions& o = options_.loss;
        const auto draws = FarDraws::make<C>(latents.extent(0), o, this->model().head.process.steps(),
                                             fold(options_.seed, static_cast<std::uint64_t>(this->step_count())));
        const Index rows = o.multiplier * latents.extent(0) * Model::tokens;
        const Noise noise = Noise::normal({rows, Model::token_dim}, draws.noise_seed);
        const auto found = loss(typename Model::Latents(A::constant(latents.handle())), draws,
                                typename Model::Head::Rows(A::constant(noise.handle())), o);
        backward(found.total);
        for (const auto& part : {found.total, found.mse, found.vb}) {
            numbers.add(value_of<A>(part.handle()));
        }
    }
    /// One optimizer step with the gradients that `add(numbers)` adds up.
    template <class Add>
    [[nodiscard]] Pending queue_step_of(Add&& add) {
        Numbers numbers;
        add(numbers);
        return this->template end_step<FarTrainReport>(options_, std::move(numbers));
    }

   private:
    FarTrainOptions options_;
};

/// Trains a FAR of configuration C on backend B.
///
///     FarTrainer<FarTiny, Cpu> trainer({}, [](auto& model) { model.initialize(1); });
///     const double loss = trainer.step(latents, labels).loss;
template <class C, class B, class T = float>
class FarTrainer : public FarTrainerFrame<C, Far<C, Autodiff<B>, T>, Far<C, B, T>> {
   public:
    static_assert(!is_autodiff<B>, "FarTrainer: name the plain backend; the trainer adds the tape itself");
    using Base = FarTrainerFrame<C, Far<C, Autodiff<B>, T>, Far<C, B, T>>;
    using typename Base::Latents;
    using typename Base::Numbers;
    using typename Base::Pending;

    /// Starts from the parameters that `prepare(model)` sets: `initialize`, or a loader.
    template <class Prepare>
    FarTrainer(FarTrainOptions options, Prepare&& prepare) : Base(std::move(options), std::forward<Prepare>(prepare)) {}

    /// One optimizer step on latents [batch, channels, height, width] of unit variance with one label each (0 … classes
    /// − 1 or `no_class`).
    FarTrainReport step(const Latents& latents, std::span<const Index> labels) {
        return queue_step(latents, labels).get();
    }
    /// `step` without waiting for the device: ask for the report when later work has been queued. A gradient that is
    /// not finite is an error of `get` then, and leaves parameters and moments as they were.
    [[nodiscard]] Pending queue_step(const Latents& latents, std::span<const Index> labels) {
        return this->queue_step_of([&](Numbers& numbers) { add(latents, labels, numbers); });
    }

    /// Adds the gradients of one batch with the draws of the current step.
    FarTrainReport accumulate(const Latents& latents, std::span<const Index> labels) {
        Numbers numbers;
        add(latents, labels, numbers);
        numbers.fetch();
        return FarTrainReport::of(numbers.values());
    }

   private:
    void add(const Latents& latents, std::span<const Index> labels, Numbers& numbers) {
        this->queue_gradients(latents, numbers,
                              [&](const auto& x, const auto& draws, const auto& noise, const auto& o) {
                                  return far_loss(this->model(), x, labels, draws, noise, o);
                              });
    }
};

}  // namespace flowfar
