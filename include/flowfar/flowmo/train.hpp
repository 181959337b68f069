#pragma once

#include <span>
#include <utility>
#include <vector>

#include "flowfar/flowmo/posttrain.hpp"
#include "flowfar/optim/trainer.hpp"

namespace flowfar {

/// Settings of training; the defaults are the published ones of stage 1A (arXiv 2503.11056, section 4 and appendix)
/// but for the average's start, which is published as `EmaStart::published`.
/// Stage 1B was published with `sample_steps` 8, a learning rate of 5e-5 and ResNetLogitLoss.
struct FlowMoTrainOptions {
    AdamOptions adam{.learning_rate = 1e-4, .beta2 = 0.95, .decoupled = false};
    RateSchedule rate{};  ///< constant, no warm-up
    double clip = 0.0;    ///< largest gradient norm; 0 switches clipping off
    double ema_decay = 0.9999;
    std::int64_t ema_every = 10;  ///< steps between updates of the average; 0: no average
    EmaStart ema_start = EmaStart::warm;
    bool fixed_norms = true;                     ///< rescale block weights to their initial norms after each step
    std::int64_t freeze_encoder_after = 200000;  ///< steps; negative: never
    TimeDistribution times = TimeDistribution::thick_tailed;
    double code_dropout = 0.1;
    int accumulation = 1;  ///< chunks that a batch is cut into, each with its own draws
    bool checkpoint_blocks = false;
    /// Above 0: stage 1B with this many steps per sample. The encoder is frozen from the start, and the perceptual loss
    /// judges samples.
    Index sample_steps = 0;
    double sample_code_dropout = 0.0;  ///< probability that a step of the sample does not see the code
    QuantizerWeights quantizer{};
    std::uint64_t seed = 0;
};

/// What one training step reports.
struct FlowMoTrainReport {
    double loss = 0.0;
    double flow = 0.0;
    double quantizer = 0.0;
    double sample_entropy = 0.0;
    double codebook_entropy = 0.0;
    double perceptual = 0.0;  ///< without its weight; in stage 1B of the sample
    double gradient_norm = 0.0;
    double learning_rate = 0.0;

    static constexpr std::size_t numbers_per_chunk = 6;  ///< the members before the gradient's norm, in this order

    /// The mean over a batch's chunks.
    [[nodiscard]] static FlowMoTrainReport of(std::span<const double> numbers) {
        FlowMoTrainReport report;
        const std::size_t chunks = numbers.size() / numbers_per_chunk;
        for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
            report.add(numbers.subspan(chunk * numbers_per_chunk, numbers_per_chunk),
                       1.0 / static_cast<double>(chunks));
        }
        return report;
    }
    /// Adds the numbers of one chunk.
    void add(std::span<const double> numbers, double share) {
        loss += share * numbers[0];
        flow += share * numbers[1];
        quantizer += share * numbers[2];
        sample_entropy += share * numbers[3];
        codebook_entropy += share * numbers[4];
        perceptual += share * numbers[5];
    }
};

/// Trains a FlowMo of configuration C on backend B: model, average, optimizer and step counter. Every random draw is a
/// function of (seed, step), so a trainer restored at step n continues as the first would have.
///
///     FlowMoTrainer<FlowMoTiny, Cpu> trainer({}, [](auto& model) { model.initialize(1); });
///     const double loss = trainer.step(images).loss;   // [batch, 3, 32, 32] in [−1, 1]
template <class C, class B, class Perceptual = NoPerceptualLoss, class T = float>
class FlowMoTrainer : public Trainer<FlowMo<C, Autodiff<B>, T>, FlowMo<C, B, T>> {
   public:
    static_assert(!is_autodiff<B>, "FlowMoTrainer: name the plain backend; the trainer adds the tape itself");
    using Base = Trainer<FlowMo<C, Autodiff<B>, T>, FlowMo<C, B, T>>;
    using typename Base::Model;
    using typename Base::Numbers;
    using typename Base::PlainModel;
    using Images = typename PlainModel::Images;
    using Pending = PendingReport<B, FlowMoTrainReport>;

    /// Starts from the parameters that `prepare(model)` sets: `initialize`, or a loader.
    template <class Prepare>
    FlowMoTrainer(FlowMoTrainOptions options, Prepare&& prepare, Perceptual perceptual = {})
        : Base(std::forward<Prepare>(prepare)), options_(options), perceptual_(perceptual) {
        require(options.accumulation >= 1, "FlowMoTrainer: accumulation must be at least 1, found ",
                options.accumulation);
        require(options.code_dropout >= 0.0 && options.code_dropout <= 1.0,
                "FlowMoTrainer: code_dropout must lie in [0, 1], found ", options.code_dropout);
        require(options.sample_steps >= 0 && options.sample_code_dropout >= 0.0 && options.sample_code_dropout <= 1.0,
                "FlowMoTrainer: expected sample_steps of at least 0 and sample_code_dropout in [0, 1], found ",
                options.sample_steps, " and ", options.sample_code_dropout);
        this->model().checkpoint_blocks = options.checkpoint_blocks;
        this->adam().add_group(this->trained(), options.adam);
        std::vector<ParameterRef<Autodiff<B>>> fixed;
        for (const auto& p : this->trained()) {
            if (is_block_weight(p)) {
                fixed.push_back(p);
            }
        }
        if (options.fixed_norms) {
            this->norms().emplace(std::move(fixed));
        }
        if (options.ema_every > 0) {
            this->ema().emplace(this->trained(), options.ema_decay, options.ema_every, options.ema_start);
        }
    }

    /// One optimizer step on images [batch, 3, H, W] in [−1, 1]; batch must be a multiple of the accumulation.
    FlowMoTrainReport step(const Images& images) { return queue_step(images).get(); }
    /// `step` without waiting for the device: ask for the report when later work has been queued. A gradient that is
    /// not finite is an error of `get` then, and leaves parameters and moments as they were.
    [[nodiscard]] Pending queue_step(const Images& images) {
        Numbers numbers;
        queue_gradients(images, numbers);
        return this->template end_step<FlowMoTrainReport>(options_, std::move(numbers));
    }

    /// Adds up the gradients of one batch with draws of the current step.
    FlowMoTrainReport accumulate(const Images& images) {
        Numbers numbers;
        queue_gradients(images, numbers);
        numbers.fetch();
        return FlowMoTrainReport::of(numbers.values());
    }
    /// Adds the gradients of one chunk with given draws, weighted by 1 / accumulation, and its part to the report.
    void accumulate(const Images& images, const Images& noise, const FlowMoDraws<T>& draws, FlowMoTrainReport& report) {
        Numbers numbers;
        queue_gradients(images, noise, draws, numbers);
        numbers.fetch();
        report.add(numbers.values(), 1.0 / options_.accumulation);
    }

    [[nodiscard]] bool encoder_frozen() const {
        return options_.sample_steps > 0 ||
               (options_.freeze_encoder_after >= 0 && this->step_count() >= options_.freeze_encoder_after);
    }
    [[nodiscard]] const FlowMoTrainOptions& options() const { return options_; }

    /// Weights of Linear layers inside the double blocks of both networks.
    [[nodiscard]] static bool is_block_weight(const ParameterRef<Autodiff<B>>& p) {
        return p.name.find(".double_blocks.") != std::string::npos && p.name.ends_with(".weight");
    }

   private:
    using ModelImages = typename Model::Images;

    [[nodiscard]] static ModelImages tracked(const Images& x) { return ModelImages(Autodiff<B>::constant(x.handle())); }

    void queue_gradients(const Images& images, Numbers& numbers) {
        const int chunks = options_.accumulation;
        require(images.extent(0) % chunks == 0, "FlowMoTrainer: a batch of ", images.extent(0), " cannot be cut into ",
                chunks, " chunks");
        const Index size = images.extent(0) / chunks;
        for (int chunk = 0; chunk < chunks; ++chunk) {
            const std::uint64_t seed = fold(fold(options_.seed, static_cast<std::uint64_t>(this->step_count())),
                                            static_cast<std::uint64_t>(chunk));
            const auto draws = FlowMoDraws<T>::make(size, options_.times, options_.code_dropout, seed);
            const Images part = slice<0>(images, chunk * size, (chunk + 1) * size);
            const Images noise = Images::normal(part.extents(), draws.noise_seed);
            if (options_.sample_steps > 0) {
                const auto chain =
                    SampleChainDraws<T>::make(size, options_.sample_steps, options_.sample_code_dropout, seed);
                queue_sample_gradients(part, noise, draws, chain, numbers);
            } else {
                queue_gradients(part, noise, draws, numbers);
            }
        }
    }
    void queue_gradients(const Images& images, const Images& noise, const FlowMoDraws<T>& draws, Numbers& numbers) {
        queue_backward(flowmo_loss(this->model(), tracked(images), tracked(noise), draws, perceptual_, encoder_frozen(),
                                   options_.quantizer),
                       numbers);
    }
    void queue_sample_gradients(const Images& images, const Images& noise, const FlowMoDraws<T>& draws,
                                const SampleChainDraws<T>& chain, Numbers& numbers) {
        if constexpr (std::is_same_v<Perceptual, NoPerceptualLoss>) {
            fail("FlowMoTrainer: stage 1B (sample_steps ", options_.sample_steps, ") needs a perceptual loss");
        } else {
            const Images start = Images::normal(images.extents(), chain.noise_seed);
            auto loss = flowmo_posttrain_loss(this->model(), tracked(images), tracked(noise), draws, tracked(start),
                                              chain, perceptual_, options_.quantizer);
            loss.flow.total = loss.total;
            loss.flow.perceptual = loss.perceptual;
            queue_backward(loss.flow, numbers);
        }
    }

    /// Runs backward, weighted by 1 / accumulation, and adds the parts of the loss to the numbers, in the
    /// report's order.
    void queue_backward(const FlowMoLoss<Model>& loss, Numbers& numbers) {
        backward(loss.total, 1.0 / options_.accumulation);
        for (const auto& part : {loss.total, loss.flow, loss.quantizer.total, loss.quantizer.sample_entropy,
                                 loss.quantizer.codebook_entropy}) {
            numbers.add(value_of<Autodiff<B>>(part.handle()));
        }
        numbers.add(loss.perceptual.defined() ? value_of<Autodiff<B>>(loss.perceptual.handle())
                                              : B::full({}, DType::f64, 0.0));
    }

    FlowMoTrainOptions options_;
    Perceptual perceptual_;
};

}  // namespace flowfar
