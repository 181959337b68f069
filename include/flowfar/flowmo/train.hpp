#pragma once

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "flowfar/flowmo/loss.hpp"
#include "flowfar/optim/adam.hpp"
#include "flowfar/optim/clip.hpp"
#include "flowfar/optim/ema.hpp"
#include "flowfar/optim/fixed_norm.hpp"
#include "flowfar/optim/schedule.hpp"

namespace flowfar {

/// Settings of stage 1A; the defaults are the published ones (arXiv 2503.11056, section 4 and appendix).
struct FlowMoTrainOptions {
    AdamSettings adam{1e-4, 0.9, 0.95, 1e-8, 0.0, false};
    RateSchedule rate;  ///< constant, no warm-up
    double clip = 0.0;  ///< largest gradient norm; 0 switches clipping off
    double ema_decay = 0.9999;
    std::int64_t ema_every = 10;
    bool fixed_norms = true;                     ///< rescale block weights to their initial norms after each step
    std::int64_t freeze_encoder_after = 200000;  ///< steps; negative: never
    TimeDistribution times = TimeDistribution::thick_tailed;
    double code_dropout = 0.1;
    int accumulation = 1;  ///< chunks that a batch is cut into, each with its own draws
    bool checkpoint_blocks = false;
    LfqWeights quantizer;
    std::uint64_t seed = 0;
};

/// What one training step reports.
struct FlowMoTrainReport {
    double loss = 0.0;
    double flow = 0.0;
    double quantizer = 0.0;
    double perceptual = 0.0;
    double sample_entropy = 0.0;
    double codebook_entropy = 0.0;
    double gradient_norm = 0.0;
    double learning_rate = 0.0;
};

/// Trains a FlowMo of configuration C on backend B: model, average, optimiser and step counter. Every random draw is a
/// function of (seed, step), so a trainer restored at step n continues as the first would have.
template <class C, class B, class Perceptual = NoPerceptualLoss, class T = float>
class FlowMoTrainer {
   public:
    static_assert(!is_autodiff<B>, "FlowMoTrainer: name the plain backend; the trainer adds the tape itself");
    using Model = FlowMoModel<C, Autodiff<B>, T>;
    using PlainModel = FlowMoModel<C, B, T>;
    using Images = typename PlainModel::Images;

    /// Starts from the parameters that `prepare(model)` sets: `initialise`, or a loader.
    template <class Prepare>
    FlowMoTrainer(FlowMoTrainOptions options, Prepare&& prepare, Perceptual perceptual = {})
        : options_(options), perceptual_(perceptual), model_(std::make_unique<Model>()) {
        require(options.accumulation >= 1, "FlowMoTrainer: accumulation must be at least 1, found ",
                options.accumulation);
        require(options.code_dropout >= 0.0 && options.code_dropout <= 1.0,
                "FlowMoTrainer: code_dropout must lie in [0, 1], found ", options.code_dropout);
        prepare(*model_);
        model_->checkpoint_blocks = options.checkpoint_blocks;
        all_ = parameters(*model_);
        adam_.add_group(all_, options.adam);
        std::vector<ParameterRef<Autodiff<B>>> fixed;
        for (const auto& p : all_) {
            if (is_block_weight(p)) {
                fixed.push_back(p);
            }
        }
        if (options.fixed_norms) {
            norms_.emplace(std::move(fixed));
        }
        if (options.ema_every > 0) {
            ema_.emplace(all_, options.ema_decay, options.ema_every);
        }
    }

    /// One optimiser step on images [batch, 3, H, W] in [−1, 1]; batch must be a multiple of the accumulation.
    FlowMoTrainReport step(const Images& images) {
        FlowMoTrainReport report = accumulate(images);
        report.gradient_norm = gradient_norm(all_);
        if (!std::isfinite(report.gradient_norm)) {
            clear_gradients(all_);  // whoever goes on after the error must not add to them
            fail("FlowMoTrainer: the gradient is not finite at step ", step_, "; lower the learning rate or clip");
        }
        const double rate = options_.rate(step_);
        report.learning_rate = options_.adam.learning_rate * rate;
        apply(rate, options_.clip > 0.0 ? clip_scale(report.gradient_norm, options_.clip) : 1.0);
        return report;
    }

    /// Adds up the gradients of one batch with draws of the current step.
    FlowMoTrainReport accumulate(const Images& images) {
        const int chunks = options_.accumulation;
        require(images.extent(0) % chunks == 0, "FlowMoTrainer: a batch of ", images.extent(0), " cannot be cut into ",
                chunks, " chunks");
        const Index size = images.extent(0) / chunks;
        FlowMoTrainReport report;
        for (int chunk = 0; chunk < chunks; ++chunk) {
            const std::uint64_t seed =
                fold(fold(options_.seed, static_cast<std::uint64_t>(step_)), static_cast<std::uint64_t>(chunk));
            const auto draws = FlowMoDraws<T>::make(size, options_.times, options_.code_dropout, seed);
            const Images part = slice<0>(images, chunk * size, (chunk + 1) * size);
            accumulate(part, Images::normal(part.extents(), draws.noise_seed), draws, report);
        }
        return report;
    }
    /// Adds the gradients of one chunk with given draws, weighted by 1 / accumulation.
    void accumulate(const Images& images, const Images& noise, const FlowMoDraws<T>& draws, FlowMoTrainReport& report) {
        const auto track = [](const Images& x) { return typename Model::Images(Autodiff<B>::constant(x.handle())); };
        const double share = 1.0 / options_.accumulation;
        const auto loss =
            flowmo_loss(*model_, track(images), track(noise), draws, perceptual_, encoder_frozen(), options_.quantizer);
        backward(loss.total, share);
        report.loss += share * static_cast<double>(loss.total.item());
        report.flow += share * static_cast<double>(loss.flow.item());
        report.quantizer += share * static_cast<double>(loss.quantizer.total.item());
        report.sample_entropy += share * static_cast<double>(loss.quantizer.sample_entropy.item());
        report.codebook_entropy += share * static_cast<double>(loss.quantizer.codebook_entropy.item());
        if (loss.perceptual.defined()) {
            report.perceptual += share * static_cast<double>(loss.perceptual.item());
        }
    }
    /// Optimiser step, norm restoration, average; then the step counter advances.
    void apply(double rate = 1.0, double gradient_scale = 1.0) {
        adam_.step(rate, gradient_scale);
        if (norms_) {
            norms_->restore();
        }
        if (ema_) {
            ema_->update(step_);
        }
        ++step_;
    }

    [[nodiscard]] bool encoder_frozen() const {
        return options_.freeze_encoder_after >= 0 && step_ >= options_.freeze_encoder_after;
    }
    [[nodiscard]] std::int64_t step_count() const { return step_; }
    void set_step_count(std::int64_t step) { step_ = step; }
    [[nodiscard]] const FlowMoTrainOptions& options() const { return options_; }
    [[nodiscard]] Model& model() { return *model_; }
    [[nodiscard]] Adam<Autodiff<B>>& adam() { return adam_; }
    [[nodiscard]] std::optional<Ema<Autodiff<B>>>& ema() { return ema_; }
    [[nodiscard]] std::optional<FixedNorms<Autodiff<B>>>& norms() { return norms_; }

    /// An inference model that shares the averaged weights (or, without an average, the weights): it follows training.
    [[nodiscard]] PlainModel averaged_model() {
        PlainModel model;
        if (ema_) {
            ema_->lend_to(model);
        } else {
            share_parameters(model, *model_);
        }
        return model;
    }

    /// Weights of Linear layers inside the double blocks of both networks.
    [[nodiscard]] static bool is_block_weight(const ParameterRef<Autodiff<B>>& p) {
        return p.name.find(".double_blocks.") != std::string::npos && p.name.ends_with(".weight");
    }

   private:
    FlowMoTrainOptions options_;
    Perceptual perceptual_;
    std::unique_ptr<Model> model_;  // the optimiser refers to its parameters
    std::vector<ParameterRef<Autodiff<B>>> all_;
    Adam<Autodiff<B>> adam_;
    std::optional<FixedNorms<Autodiff<B>>> norms_;
    std::optional<Ema<Autodiff<B>>> ema_;
    std::int64_t step_ = 0;
};

}  // namespace flowfar
