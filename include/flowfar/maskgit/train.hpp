#pragma once

#include <span>
#include <utility>
#include <vector>

#include "flowfar/maskgit/loss.hpp"
#include "flowfar/optim/trainer.hpp"

namespace flowfar {

/// Settings of training; the defaults are those of MaskGIT and MaskBit but for the average's start: AdamW (0.9, 0.96),
/// weight decay 0.045 on matrices, gradient norm limited to 1. Published is a warm-up of 5,000 steps at batches of 256
/// to 1,024.
struct MaskGitTrainOptions {
    AdamOptions adam{.learning_rate = 1e-4, .beta2 = 0.96, .weight_decay = 0.045};
    RateSchedule rate{};  ///< constant, no warm-up
    double clip = 1.0;    ///< largest gradient norm; 0 switches clipping off
    double ema_decay = 0.9999;
    std::int64_t ema_every = 1;  ///< steps between updates of the average; 0: no average
    EmaStart ema_start = EmaStart::warm;
    MaskGitLossOptions loss;
    std::uint64_t seed = 0;
};

/// What one training step reports.
struct MaskGitTrainReport {
    double loss = 0.0;  ///< in nats, with smoothed labels
    double gradient_norm = 0.0;
    double learning_rate = 0.0;

    [[nodiscard]] static MaskGitTrainReport of(std::span<const double> numbers) { return {numbers[0], 0.0, 0.0}; }
};

/// Trains a MaskGit of configuration C on backend B: model, average, optimizer and step counter. Every random draw is a
/// function of (seed, step), so a trainer restored at step n continues as the first would have.
///
///     MaskGitTrainer<MaskGitTiny, Cpu> trainer({}, [](auto& model) { model.initialize(1); });
///     const double loss = trainer.step(tokens, labels).loss;
template <class C, class B, class T = float>
class MaskGitTrainer : public Trainer<MaskGit<C, Autodiff<B>, T>, MaskGit<C, B, T>> {
   public:
    static_assert(!is_autodiff<B>, "MaskGitTrainer: name the plain backend; the trainer adds the tape itself");
    using Base = Trainer<MaskGit<C, Autodiff<B>, T>, MaskGit<C, B, T>>;
    using typename Base::Numbers;
    using Pending = PendingReport<B, MaskGitTrainReport>;

    /// Starts from the parameters that `prepare(model)` sets: `initialize`, or a loader.
    template <class Prepare>
    MaskGitTrainer(MaskGitTrainOptions options, Prepare&& prepare)
        : Base(std::forward<Prepare>(prepare)), options_(std::move(options)) {
        require(options_.loss.label_drop >= 0.0 && options_.loss.label_drop <= 1.0,
                "MaskGitTrainer: label_drop must lie in [0, 1], found ", options_.loss.label_drop);
        require(options_.loss.smoothing >= 0.0 && options_.loss.smoothing <= 1.0,
                "MaskGitTrainer: smoothing must lie in [0, 1], found ", options_.loss.smoothing);
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

    /// One optimizer step on tokens with one label each (0 … classes − 1 or `no_class`).
    MaskGitTrainReport step(const Tokens& tokens, std::span<const Index> labels) {
        return queue_step(tokens, labels).get();
    }
    /// `step` without waiting for the device: ask for the report when later work has been queued. A gradient that is
    /// not finite is an error of `get` then, and leaves parameters and moments as they were.
    [[nodiscard]] Pending queue_step(const Tokens& tokens, std::span<const Index> labels) {
        Numbers numbers;
        const auto draws = MaskGitLossDraws::make<C>(
            tokens.batch, options_.loss, fold(options_.seed, static_cast<std::uint64_t>(this->step_count())));
        const auto loss = maskgit_loss(this->model(), tokens, labels, draws, options_.loss);
        backward(loss.total);
        numbers.add(value_of<Autodiff<B>>(loss.total.handle()));
        return this->template end_step<MaskGitTrainReport>(options_, std::move(numbers));
    }

    [[nodiscard]] const MaskGitTrainOptions& options() const { return options_; }

    /// Weights of linear layers; no tables, no vectors.
    [[nodiscard]] static bool has_weight_decay(const ParameterRef<Autodiff<B>>& p) {
        return p.extents().rank() > 1 && p.name != "class_emb.weight" && p.name != "pos_embed";
    }

   private:
    MaskGitTrainOptions options_;
};

}  // namespace flowfar
