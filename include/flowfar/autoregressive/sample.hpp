#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "flowfar/autoregressive/head/diffusion_head.hpp"
#include "flowfar/autoregressive/sample_draws.hpp"
#include "flowfar/autoregressive/sample_options.hpp"
#include "flowfar/diffusion/time_schedule.hpp"

namespace flowfar {

/// Generates latents token set by token set: the loop that FAR, MAR, raster and VAR share. A paradigm P says what
/// differs, the order of the tokens, what is hidden, and the next input:
///
///     P::Model, P::Draws                       // the random numbers: TokenSampleDraws<Model> or more
///     P(options)                               // completes and checks the paradigm's own options
///     int steps() const                        // autoregressive steps n
///     P::Run(p, model, request, draws, guided) // one run; guided: null conditions may be needed
///         Index drawn(k)                   // tokens of each sample that step k = 0 … n − 1 draws; 0: left out
///         Share share(k)                   // of the way, for the guidance
///         auto conditions(k, two)          // z of the rows (sample, token) to draw [rows, width];
///                                          // two: then of those without class
///         auto index(k)                    // what the diffusion head is told [1, 1], or undefined
///         auto noise(draws, k, draw)       // N(0, 1) [batch·drawn, token_dim]
///         void accept(k, rows), advance(k) // takes what was drawn; makes the next step's input of it
///         level(k), input(), mask(), estimate()  // for callbacks; the estimate is also the result
///
/// What does not change is computed once: class positions or the prompts' keys and values per run, embeddings of
/// diffusion steps per schedule, projections of z and of the index per autoregressive step. The head computes nothing
/// for the null condition while the guidance is 1. Several threads may share a const sampler.
template <class P>
class TokenSampler {
   public:
    using Model = typename P::Model;
    using C = typename Model::Config;
    using Latents = typename Model::Latents;
    using Head = typename Model::Head;
    using Request = typename Model::Request;
    using Draws = typename P::Draws;
    using Step = TokenStep<Model>;
    /// Called after each autoregressive step; returning false stops with the current estimate.
    using Callback = TokenCallback<Model>;

    /// Throws `Error` for impossible options, before any work is done.
    TokenSampler(const Model& model, TokenSampleOptions options)
        : model_(&model), options_(std::move(options)), paradigm_(options_) {
        if (!options_.steps) {
            options_.steps = DiffusionSteps::constant(C::sampling.diffusion_steps);
        }
        options_.guidance = options_.guidance.value_or(C::sampling.guidance);
        options_.guidance_schedule = options_.guidance_schedule.value_or(C::sampling.guidance_schedule);
        options_.temperature_schedule = options_.temperature_schedule.value_or(C::sampling.temperature_schedule);
        options_.limit = options_.limit.value_or(C::sampling.limit);
        check_guidance(*options_.guidance);
        ddpm::check_step_options({.temperature = options_.temperature, .clip = *options_.limit});
        for (int k = 0; k < paradigm_.steps(); ++k) {
            prepare_step(k);
        }
    }

    /// One latent [channels, height, width] per label (0 … classes − 1, or `no_class`) or per prompt's context.
    [[nodiscard]] Latents operator()(Request request, const Callback& callback = {}) const {
        return run(request, draws(Model::count(request)), callback);
    }
    /// The random numbers of the options' seed for a batch.
    [[nodiscard]] Draws draws(Index batch) const { return {options_.seed, options_.first_sample, batch}; }

    /// Generates with given random numbers: an object like `Draws`.
    template <class D>
    [[nodiscard]] Latents run(Request request, const D& draws, const Callback& callback = {}) const {
        return run(request, draws, callback,
                   [this](const auto&... arguments) { return model_->head.sample(arguments...); });
    }
    /// Generates with another way to take the head's diffusion steps: `chain` has the arguments of its `sample`.
    template <class D, class Chain>
    [[nodiscard]] Latents run(Request request, const D& draws, const Callback& callback, Chain&& chain) const {
        require(Model::count(request) >= 1, "sample: expected at least one label or prompt");
        typename P::Run run(paradigm_, *model_, request, draws, *options_.guidance != 1.0);
        const int n = paradigm_.steps();
        for (int k = 0; k < n; ++k) {
            const Index drawn = run.drawn(k);
            if (drawn == 0) {
                continue;
            }
            const double guidance = guidance_at(*options_.guidance_schedule, *options_.guidance, run.share(k));
            const double temperature =
                temperature_at(*options_.temperature_schedule, options_.temperature, Model::masked, k, n);
            const Prepared& prepared = prepared_[schedule_of_[static_cast<std::size_t>(k)]];
            const typename Head::Rows rows = chain(
                model_->head.net.condition(run.conditions(k, guidance != 1.0), run.index(k)), prepared.head, guidance,
                ddpm::StepOptions{.temperature = temperature, .clip = *options_.limit},
                [&](int draw) { return run.noise(draws, k, draw); }, options_.stop);
            if (!rows.defined()) {
                break;
            }
            run.accept(k, rows);
            const Latents& estimate = run.estimate();
            const Step step{k + 1,    n,           run.level(k), drawn,      prepared.head.process.steps(),
                            guidance, temperature, run.input(),  run.mask(), estimate};
            if (callback && !callback(step)) {
                break;
            }
            if (k + 1 < n) {
                run.advance(k);
            }
        }
        return run.estimate();
    }

    [[nodiscard]] const TokenSampleOptions& options() const { return options_; }

   private:
    struct Prepared {
        std::vector<Index> kept;
        typename Head::Prepared head;
    };

    /// Remembers which prepared schedule step k uses; equal schedules share one.
    void prepare_step(int k) {
        const DdpmSchedule& process = model_->head.process;
        const int usable = options_.solver == DiffusionSolver::ancestral ? process.steps() : solvable_;
        std::vector<Index> kept = options_.steps->kept(k, paradigm_.steps(), usable);
        const bool even_snr = options_.solver == DiffusionSolver::dpm2m ||
                              (options_.solver == DiffusionSolver::ddim && kept.size() == 1);  // evenly in time: step 0
        if (even_snr && !options_.steps->spelled_out()) {
            kept = ddpm::even_snr_steps(process, usable, static_cast<Index>(kept.size()));
        }
        std::size_t at = 0;
        while (at < prepared_.size() && prepared_[at].kept != kept) {
            ++at;
        }
        if (at == prepared_.size()) {
            const DdpmSchedule spaced = respace(process, std::span<const Index>(kept));
            prepared_.push_back({std::move(kept), model_->head.prepare(spaced, options_.solver)});
        }
        schedule_of_.push_back(at);
    }

    const Model* model_;
    TokenSampleOptions options_;
    P paradigm_;
    int solvable_ = ddpm::solvable_steps(model_->head.process);
    std::vector<Prepared> prepared_;
    std::vector<std::size_t> schedule_of_;  // per autoregressive step, a position in prepared_
};

namespace detail {

/// Throws `Error` if options hold something that only FAR has.
inline void refuse_far_options(const TokenSampleOptions& options, std::string_view paradigm) {
    require(options.levels.empty(), "levels: ", paradigm, " has none, found ", options.levels.size());
    require(!options.coherence, "coherence: ", paradigm, " has none");
    require(options.filter_between, "filter_between: ", paradigm, " has no filter to switch off");
    require(options.temperature_schedule != TemperatureSchedule::published,
            "temperature schedule: the published one is FAR's, ", paradigm, " has none");
}
/// Throws `Error` if options hold something that only MAR has.
inline void refuse_mar_options(const TokenSampleOptions& options, std::string_view paradigm) {
    require(!options.iterations, "iterations: ", paradigm, " has no number of them to choose, found ",
            options.iterations.value_or(0));
}

}  // namespace detail

}  // namespace flowfar
