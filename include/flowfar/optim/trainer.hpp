#pragma once

#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "flowfar/optim/adam.hpp"
#include "flowfar/optim/clip.hpp"
#include "flowfar/optim/ema.hpp"
#include "flowfar/optim/fixed_norm.hpp"
#include "flowfar/optim/rate_schedule.hpp"
#include "flowfar/optim/readout.hpp"

namespace flowfar {

/// A step's report whose numbers may still be on their way. `Report::of` makes it of the loss's numbers; the gradient's
/// norm and the learning rate are added here.
template <class B, class Report>
class PendingReport {
   public:
    /// `numbers` are the loss's, then the gradient's norm, and have been fetched.
    PendingReport(Readout<B> numbers, std::int64_t step, double learning_rate)
        : numbers_(std::move(numbers)), step_(step), learning_rate_(learning_rate) {}

    /// Waits for the numbers. Throws `Error` if the gradient was not finite.
    [[nodiscard]] Report get() {
        const std::span<const double> values = numbers_.values();
        require(std::isfinite(values.back()), "training: the gradient is not finite at step ", step_,
                "; lower the learning rate or clip");
        Report report = Report::of(values.first(values.size() - 1));
        report.gradient_norm = values.back();
        report.learning_rate = learning_rate_;
        return report;
    }

   private:
    Readout<B> numbers_;
    std::int64_t step_;
    double learning_rate_;
};

/// What every training run holds, whatever it trains: a model on the tape, its optimizer, an optional average, optional
/// fixed norms and the step counter. `M` is the model on Autodiff<B>, `PlainM` the one on B. A trainer derives from it
/// for these members' interface, sets up `adam()`, `ema()` and `norms()`, adds up gradients and calls `optimize`.
/// `save_training(trainer, path)` and `load_training` of flowfar/io.hpp keep it in a file.
template <class M, class PlainM>
class Trainer {
   public:
    using Model = M;
    using PlainModel = PlainM;
    using A = typename M::Backend;
    static_assert(is_autodiff<A> && !is_autodiff<typename PlainM::Backend>,
                  "Trainer: expected a model on Autodiff<B> and the same on B");

    /// Optimizer step with the gradients as they are, norm restoration, average; then the step counter advances.
    void apply(double rate = 1.0, double gradient_scale = 1.0) {
        adam_.step(rate, gradient_scale);
        finish();
    }

    [[nodiscard]] std::int64_t step_count() const { return step_; }
    void set_step_count(std::int64_t step) { step_ = step; }
    [[nodiscard]] Model& model() { return *model_; }
    [[nodiscard]] Adam<A>& adam() { return adam_; }
    [[nodiscard]] std::optional<Ema<A>>& ema() { return ema_; }
    [[nodiscard]] std::optional<FixedNorms<A>>& norms() { return norms_; }

    /// An inference model that shares the averaged weights (or, without an average, the weights): it follows training.
    [[nodiscard]] PlainModel averaged_model() {
        PlainModel model;
        lend_to(model);
        return model;
    }
    /// Gives the same weights to a model of the same structure.
    template <class Target>
    void lend_to(Target& target) {
        if (ema_) {
            ema_->lend_to(target);
        } else {
            share_parameters(target, *model_);
        }
    }

   protected:
    /// Starts from the parameters that `prepare(model)` sets: `initialize`, or a loader.
    template <class Prepare>
    explicit Trainer(Prepare&& prepare) : model_(std::make_unique<Model>()) {
        prepare(*model_);
        all_ = parameters(*model_);
    }

    using Numbers = Readout<Plain<A>>;

    /// All parameters of the model.
    [[nodiscard]] const std::vector<ParameterRef<A>>& trained() const { return all_; }

    /// `apply` at the schedule's rate, with the gradient limited to the norm `clip` (0: not), which is added to the
    /// numbers. Gives the rate. Throws `Error` if the gradient is not finite; nothing has been changed then. If the
    /// device runs ahead, parameters and moments are left alone then, and the norm among the numbers tells.
    double optimize(const RateSchedule& schedule, double clip, Numbers& numbers) {
        const double rate = schedule(step_);
        const auto gradients = detail::gradients<A>(all_);
        using B = Plain<A>;
        if constexpr (RunsAhead<B>) {
            const auto sum = B::reduce(ReduceOp::sum, B::square_sums(gradients), Axes::all(1), ReducedAxes::drop);
            const auto norm = B::unary({UnaryOp::sqrt}, sum);
            numbers.add(norm);
            adam_.step(rate, GradientLimit<typename B::Handle>{norm, clip});
            finish();
        } else {
            const double norm = detail::joint_norm<B>(gradients);
            if (!std::isfinite(norm)) {
                clear_gradients(all_);  // a caller that goes on after the error must not add to them
                fail("training: the gradient is not finite at step ", step_, "; lower the learning rate or clip");
            }
            numbers.add(B::full({}, DType::f64, norm));
            apply(rate, clip > 0.0 ? clip_scale(norm, clip) : 1.0);
        }
        return rate;
    }
    /// `optimize` as the end of a step that has added its loss's numbers; `options` are the trainer's.
    template <class Report, class Options>
    [[nodiscard]] PendingReport<Plain<A>, Report> end_step(const Options& options, Numbers numbers) {
        const std::int64_t step = step_;
        const double rate = optimize(options.rate, options.clip, numbers);
        numbers.fetch();
        return {std::move(numbers), step, options.adam.learning_rate * rate};
    }

   private:
    void finish() {
        if (norms_) {
            norms_->restore();
        }
        if (ema_) {
            ema_->update(step_);
        }
        ++step_;
    }

    std::unique_ptr<Model> model_;  // optimizer and average refer to its parameters
    std::vector<ParameterRef<A>> all_;
    Adam<A> adam_;
    std::optional<FixedNorms<A>> norms_;
    std::optional<Ema<A>> ema_;
    std::int64_t step_ = 0;
};

}  // namespace flowfar
