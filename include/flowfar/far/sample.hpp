#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/diffusion/ddpm.hpp"
#include "flowfar/diffusion/respacing.hpp"
#include "flowfar/diffusion/time_schedule.hpp"
#include "flowfar/far/coherence.hpp"
#include "flowfar/far/config.hpp"
#include "flowfar/far/sample_options.hpp"

namespace flowfar {

/// The random numbers of a sampling run, counter-based: sample i's depend on (seed, i) alone, so neither the batch
/// size nor the number of threads changes them.
template <class Model>
class FarSampleDraws {
   public:
    using Rows = typename Model::Head::Rows;

    FarSampleDraws(std::uint64_t seed, std::uint64_t first_sample, Index batch) {
        for (Index i = 0; i < batch; ++i) {
            seeds_.push_back(fold(fold(seed, "far"), first_sample + static_cast<std::uint64_t>(i)));
        }
    }
    /// N(0, 1) [batch·tokens, token_dim] of a draw (0: start, i: i-th diffusion step) at autoregressive step k.
    [[nodiscard]] Rows noise(int k, int draw) const {
        using B = typename Model::Backend;
        constexpr Index values = Model::tokens * Model::token_dim;
        PoolVector<typename B::Handle> parts;
        for (const std::uint64_t seed : seeds_) {
            const auto offset = static_cast<std::uint64_t>(draw) * static_cast<std::uint64_t>(values);
            parts.push_back(B::normal({Model::tokens, Model::token_dim}, dtype_of<typename Model::Element>,
                                      fold(seed, static_cast<std::uint64_t>(k)), offset));
        }
        return Rows(B::concat(std::span<const typename B::Handle>(parts), 0));
    }
    /// Noise that the tokens of a cell share (far/coherence.hpp), N(0, 1) [batch·tokens, token_dim], of a draw at
    /// autoregressive step k. Cells are `size` × `size` tokens, and their grid begins at a place of each draw's own.
    [[nodiscard]] Rows cell_noise(int k, int draw, Index size) const {
        using B = typename Model::Backend;
        using Config = typename Model::Config;
        constexpr Index values = Model::token_dim;
        const Index down = (Config::rows + size - 1) / size + 1;  // one more: the first one may be cut
        const Index across = (Config::columns + size - 1) / size + 1;
        PoolVector<typename B::Handle> parts;
        for (const std::uint64_t seed : seeds_) {
            const std::uint64_t stream =
                fold(fold(fold(seed, "cells"), static_cast<std::uint64_t>(k)), static_cast<std::uint64_t>(draw));
            const auto cells = B::normal({down, 1, across, 1, values}, dtype_of<typename Model::Element>, stream, 0);
            const auto wide = B::reshape(B::contiguous(B::expand(cells, {down, size, across, size, values})),
                                         {down * size, across * size, values});
            Random place(fold(stream, "place"));
            const auto shift = [&](Index extent) {
                return size >= extent ? Index{0} : static_cast<Index>(place.below(static_cast<std::uint64_t>(size)));
            };
            const Index top = shift(Config::rows);
            const Index left = shift(Config::columns);
            const auto rows = B::slice(wide, 0, top, top + Config::rows);
            parts.push_back(
                B::reshape(B::contiguous(B::slice(rows, 1, left, left + Config::columns)), {Model::tokens, values}));
        }
        return Rows(B::concat(std::span<const typename B::Handle>(parts), 0));
    }
    /// The order in which each sample's tokens stay hidden, [batch, tokens]: earlier entries longer.
    [[nodiscard]] std::vector<Index> orders() const {
        std::vector<Index> out;
        for (const std::uint64_t seed : seeds_) {
            const std::vector<Index> order = Random(fold(seed, "order")).permutation(Model::tokens);
            out.insert(out.end(), order.begin(), order.end());
        }
        return out;
    }

   private:
    std::vector<std::uint64_t> seeds_;
};

/// Generates latents with FAR: arXiv 2503.05305, algorithm of section 3, with hidden tokens if the configuration says
/// so. What does not change is computed once: class positions or the prompts' keys and values per run, embeddings of
/// diffusion steps per schedule, projections of z and of the level per autoregressive step. Nothing is computed for the
/// null condition while the guidance is 1, as it is in the first step of the linear schedule. Several threads may share
/// a const sampler.
template <class Model>
class FarSampler {
   public:
    using B = typename Model::Backend;
    using C = typename Model::Config;
    using T = typename Model::Element;
    using Tokens = typename Model::Tokens;
    using Latents = typename Model::Latents;
    using Conditioning = typename Model::Conditioning;
    using Head = typename Model::Head;
    using Step = FarStep<Model>;
    /// Called after each autoregressive step; returning false stops with the current estimate.
    using Callback = std::function<bool(const Step&)>;

    /// Throws `Error` for impossible options, before any work is done.
    FarSampler(const Model& model, FarSampleOptions options) : model_(&model), options_(std::move(options)) {
        if (options_.levels.empty()) {
            options_.levels = default_levels<C>();
        }
        check_far_levels(options_.levels, C::level_limit, C::masked);
        if (!options_.steps) {
            options_.steps = DiffusionSteps::constant(C::sampling.diffusion_steps);
        }
        options_.guidance = options_.guidance.value_or(C::sampling.guidance);
        options_.guidance_schedule = options_.guidance_schedule.value_or(C::sampling.guidance_schedule);
        options_.temperature_schedule = options_.temperature_schedule.value_or(C::sampling.temperature_schedule);
        options_.limit = options_.limit.value_or(C::sampling.limit);
        check_guidance(*options_.guidance);
        ddpm::check_step_options({.temperature = options_.temperature, .clip = *options_.limit});
        prepare_coherence();
        for (int k = 0; k < count(); ++k) {
            prepare_step(k);
        }
    }

    /// One latent [channels, height, width] per label (0 … classes − 1, or `no_class`) or per prompt's context.
    [[nodiscard]] Latents operator()(typename Model::Request request, const Callback& callback = {}) const {
        const FarSampleDraws<Model> draws(options_.seed, options_.first_sample, Model::count(request));
        return run(request, draws, callback);
    }

    /// Generates with given random numbers: an object like `FarSampleDraws`.
    template <class Draws>
    [[nodiscard]] Latents run(typename Model::Request request, const Draws& draws,
                              const Callback& callback = {}) const {
        return run(request, draws, callback,
                   [this](const auto&... arguments) { return model_->head.sample(arguments...); });
    }
    /// Generates with another way to take the head's diffusion steps: `chain` has the arguments of its `sample`.
    template <class Draws, class Chain>
    [[nodiscard]] Latents run(typename Model::Request request, const Draws& draws, const Callback& callback,
                              Chain&& chain) const {
        const Index batch = Model::count(request);
        require(batch >= 1, "sample: expected at least one label or prompt");
        const Conditioning given = model_->conditioning(request);
        const std::vector<Index> orders = C::masked ? draws.orders() : std::vector<Index>{};
        std::optional<TokenMask> mask;
        if constexpr (C::masked) {
            mask.emplace(orders, Model::tokens, Model::tokens);
        }
        Tokens input = Tokens::zeros(batch);
        Latents estimate;
        const int n = count();
        for (int k = 0; k < n; ++k) {
            const double guidance = guidance_at(*options_.guidance_schedule, *options_.guidance, k, n);
            const double temperature =
                temperature_at(*options_.temperature_schedule, options_.temperature, C::masked, k, n);
            const Prepared& prepared = prepared_[schedule_of_[static_cast<std::size_t>(k)]];
            const Index level = options_.levels[static_cast<std::size_t>(k)];
            const typename Head::Rows rows = chain(
                condition(given, input, mask, level, guidance), prepared.head, guidance,
                ddpm::StepOptions{.temperature = temperature, .clip = *options_.limit},
                [&](int draw) { return noise(draws, k, draw); }, options_.stop);
            if (!rows.defined()) {
                return estimate.defined() ? estimate : Latents::zeros(batch);
            }
            estimate = Model::unpatchify(reshape<typename Tokens::Shape>(rows, batch));
            const Step step{k + 1,    n,           level, prepared.head.process.steps(),
                            guidance, temperature, input, mask ? &*mask : nullptr,
                            estimate};
            if (callback && !callback(step)) {
                return estimate;
            }
            if (k + 1 < n) {
                input = next_input(estimate, k, orders, mask);
            }
        }
        return estimate;
    }

    [[nodiscard]] const FarSampleOptions& options() const { return options_; }

   private:
    struct Prepared {
        std::vector<Index> kept;
        typename Head::Prepared head;
    };

    [[nodiscard]] int count() const { return static_cast<int>(options_.levels.size()); }

    /// The share of the cells in each step's noise: the options', or from the configuration's table; 0 where a cell
    /// would be one token.
    void prepare_coherence() {
        const std::size_t steps = options_.levels.size();
        shares_ = coherent_shares(options_.coherence.value_or(std::vector<double>{}), steps);
        for (std::size_t k = 0; k + 1 < steps; ++k) {
            const Index next = options_.levels[k + 1];
            cells_.push_back(coherent_cell(next, std::min(C::rows, C::columns)));
            if (!options_.coherence) {
                shares_[k] = coherent_share(C::sampling.coherence, next);
            }
            if (cells_.back() == 1) {
                shares_[k] = 0.0;
            }
        }
    }
    /// The noise of a draw at step k, N(0, 1) [batch·tokens, token_dim], coherent where the step asks for it.
    template <class Draws>
    [[nodiscard]] typename Head::Rows noise(const Draws& draws, int k, int draw) const {
        using Rows = typename Head::Rows;
        const Rows own = draws.noise(k, draw);
        const double share = shares_[static_cast<std::size_t>(k)];
        if (share == 0.0) {
            return own;
        }
        if constexpr (requires { draws.cell_noise(k, draw, Index{}); }) {
            const Rows cells = draws.cell_noise(k, draw, cells_[static_cast<std::size_t>(k)]);
            return std::sqrt(share) * cells + std::sqrt(1.0 - share) * own;
        } else {
            fail("coherence: these draws have no noise of cells; pass 0");
        }
    }

    /// Remembers which prepared schedule step k uses; equal schedules share one.
    void prepare_step(int k) {
        std::vector<Index> kept = options_.steps->kept(k, count(), model_->head.process.steps());
        std::size_t at = 0;
        while (at < prepared_.size() && prepared_[at].kept != kept) {
            ++at;
        }
        if (at == prepared_.size()) {
            const DdpmSchedule spaced = respace(model_->head.process, std::span<const Index>(kept));
            prepared_.push_back({std::move(kept), model_->head.prepare(spaced)});
        }
        schedule_of_.push_back(at);
    }
    /// What the diffusion head needs to know: conditional rows, and null rows if they matter.
    [[nodiscard]] typename Head::Hidden condition(const Conditioning& given, const Tokens& input,
                                                  const std::optional<TokenMask>& mask, Index level,
                                                  double guidance) const {
        const bool two = guidance != 1.0;
        const Tokens x = two ? Tokens(concat<0>(input, input)) : input;
        std::optional<TokenMask> doubled;
        if (mask && two) {
            doubled = mask->doubled();
        }
        const TokenMask* const hidden = doubled ? &*doubled : (mask ? &*mask : nullptr);
        const auto z = model_->conditions(two ? given.both : given.with, x, hidden);
        const auto scalar = Head::Scalars::full({1, 1}, static_cast<double>(level));
        return model_->head.net.condition(Model::flatten(z), scalar);
    }
    /// The next step's input: the result of step k low-passed, with fewer tokens hidden than before.
    [[nodiscard]] Tokens next_input(const Latents& estimate, int k, const std::vector<Index>& orders,
                                    std::optional<TokenMask>& mask) const {
        // With hidden tokens the published sampler of classes leaves the first result, of which few tokens survive,
        // unfiltered.
        const bool filter = options_.filter_between && (C::sampling.filter_first || !C::masked || k > 0);
        const Index next = options_.levels[static_cast<std::size_t>(k) + 1];
        const Tokens x = Model::patchify(filter ? C::Filter::apply(estimate, next) : estimate);
        if constexpr (C::masked) {
            mask.emplace(orders, Model::tokens, hidden_after(Model::tokens, k, count()));
            std::vector<T> visible;
            for (const Index flag : mask->flags()) {
                visible.push_back(flag != 0 ? T(0) : T(1));
            }
            return x *
                   Tensor<B, Shape<dyn, Model::tokens, 1>, T>::from_host(visible, {mask->batch(), Model::tokens, 1});
        } else {
            return x;
        }
    }

    const Model* model_;
    FarSampleOptions options_;
    std::vector<double> shares_;  // of the cells' noise, per autoregressive step
    std::vector<Index> cells_;    // tokens per side of a cell, per step but the last
    std::vector<Prepared> prepared_;
    std::vector<std::size_t> schedule_of_;  // per autoregressive step, a position in prepared_
};

}  // namespace flowfar
