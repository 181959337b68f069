#pragma once

#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "flowfar/autoregressive/loss.hpp"
#include "flowfar/optim/trainer.hpp"

namespace flowfar {

/// Settings of training with a paradigm's loss; the defaults are those that MAR and FAR published (arXiv 2503.05305,
/// section 4, and the released scripts): AdamW with weight decay on matrices, gradient norm limited to 3, an average of
/// every step. The average's start is published as `EmaStart::published`. The published learning rate is 1e-4 · batch /
/// 256 after a linear warm-up of 100 epochs.
template <class LossOptions>
struct TokenTrainOptions {
    AdamOptions adam{.learning_rate = 1e-4, .beta2 = 0.95, .weight_decay = 0.02};
    RateSchedule rate{};  ///< constant, no warm-up
    double clip = 3.0;    ///< largest gradient norm; 0 switches clipping off
    double ema_decay = 0.9999;
    std::int64_t ema_every = 1;  ///< steps between updates of the average; 0: no average
    EmaStart ema_start = EmaStart::warm;
    LossOptions loss;
    std::uint64_t seed = 0;
};

/// What one training step reports.
struct TokenTrainReport {
    double loss = 0.0;  ///< weighted by frequency if FAR's options say so
    double mse = 0.0;   ///< of ε
    double vb = 0.0;    ///< variational bound
    double gradient_norm = 0.0;
    double learning_rate = 0.0;
    std::vector<double> scale_loss = {};  ///< VAR: the mean of each scale

    [[nodiscard]] static TokenTrainReport of(std::span<const double> numbers) {
        return {numbers[0], numbers[1], numbers[2], 0.0, 0.0, {numbers.begin() + 3, numbers.end()}};
    }
};

/// Trains a class-conditional model on backend B: model, average, optimizer and step counter. Every random draw is a
/// function of (seed, step), so a trainer restored at step n continues as the first would have. A recipe R says what
/// differs between paradigms:
///
///     R::name                      // of the trainer, in errors
///     R::Config, R::Model<B, T>, R::LossOptions
///     R::Draws                     // a TokenDraws or more, with make<Config>(batch, options, diffusion steps, seed)
///     R::loss(model, latents, request, draws, noise, options)  // a TokenLoss, or one with scalars `scale_loss`, too
template <class R, class B, class T>
class TokenTrainer : public Trainer<typename R::template Model<Autodiff<B>, T>, typename R::template Model<B, T>> {
   public:
    static_assert(!is_autodiff<B>, "TokenTrainer: name the plain backend; the trainer adds the tape itself");
    using Base = Trainer<typename R::template Model<Autodiff<B>, T>, typename R::template Model<B, T>>;
    using Options = TokenTrainOptions<typename R::LossOptions>;
    using Report = TokenTrainReport;
    using typename Base::Model;
    using typename Base::PlainModel;
    using Latents = typename PlainModel::Latents;
    using Noise = typename PlainModel::Head::Rows;
    using typename Base::Numbers;
    using Pending = PendingReport<B, Report>;

    /// Starts from the parameters that `prepare(model)` sets: `initialize`, or a loader.
    template <class Prepare>
    TokenTrainer(Options options, Prepare&& prepare)
        : Base(std::forward<Prepare>(prepare)), options_(std::move(options)) {
        require(options_.loss.label_drop >= 0.0 && options_.loss.label_drop <= 1.0, R::name,
                ": label_drop must lie in [0, 1], found ", options_.loss.label_drop);
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

    /// What tells the model what to draw: one label (0 … classes − 1 or `no_class`) for each latent, or contexts.
    using Request = typename PlainModel::Request;

    /// One optimizer step on latents [batch, channels, height, width] of unit variance.
    Report step(const Latents& latents, Request given) { return queue_step(latents, given).get(); }
    /// `step` without waiting for the device: ask for the report when later work has been queued. A gradient that is
    /// not finite is an error of `get` then, and leaves parameters and moments as they were.
    [[nodiscard]] Pending queue_step(const Latents& latents, Request given) {
        Numbers numbers;
        queue_gradients(latents, given, numbers);
        return this->template end_step<Report>(options_, std::move(numbers));
    }

    /// Adds the gradients of one batch with the draws of the current step.
    Report accumulate(const Latents& latents, Request given) {
        Numbers numbers;
        queue_gradients(latents, given, numbers);
        numbers.fetch();
        return Report::of(numbers.values());
    }

    [[nodiscard]] const Options& options() const { return options_; }

    /// Matrices outside the diffusion MLP, tables and positions included; no vectors, no biases.
    [[nodiscard]] static bool has_weight_decay(const ParameterRef<Autodiff<B>>& p) {
        return p.extents().rank() > 1 && !p.name.ends_with(".bias") && !p.name.starts_with("diffloss.");
    }

   private:
    /// A plain tensor as one of the tape's type Y that gets no gradient.
    template <AnyTensor Y, AnyTensor X>
    [[nodiscard]] static Y constant(const X& x) {
        return Y(Autodiff<B>::constant(x.handle()));
    }
    [[nodiscard]] static auto on_tape(Request given) {
        if constexpr (AnyTensor<std::remove_cvref_t<Request>>) {
            return constant<typename Model::Context>(given);
        } else {
            return given;
        }
    }
    void queue_gradients(const Latents& latents, Request given, Numbers& numbers) {
        const auto& o = options_.loss;
        const auto draws = R::Draws::template make<typename R::Config>(
            latents.extent(0), o, this->model().head.process.steps(),
            fold(options_.seed, static_cast<std::uint64_t>(this->step_count())));
        const auto rows = static_cast<Index>(draws.steps.size());
        const Noise noise = Noise::normal({rows, Model::token_dim}, draws.noise_seed);
        const auto loss = R::loss(this->model(), constant<typename Model::Latents>(latents), on_tape(given), draws,
                                  constant<typename Model::Head::Rows>(noise), o);
        backward(loss.total);
        for (const auto& part : {loss.total, loss.mse, loss.vb}) {
            numbers.add(value_of<Autodiff<B>>(part.handle()));
        }
        if constexpr (requires { loss.scale_loss; }) {
            for (const auto& part : loss.scale_loss) {
                numbers.add(value_of<Autodiff<B>>(part.handle()));
            }
        }
    }

    Options options_;
};

}  // namespace flowfar
