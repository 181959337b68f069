#pragma once

#include <functional>
#include <utility>

#include "flowfar/autoregressive/head/denoising_mlp.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/diffusion/respacing.hpp"
#include "flowfar/diffusion/solver.hpp"
#include "flowfar/diffusion/time_schedule.hpp"

namespace flowfar {

/// Draws continuous tokens from p(x | z): the denoising MLP with its noise process, DDPM with cosine schedule, ε
/// prediction and learned variance range (arXiv 2503.05305, section 3; Li et al. 2024).
template <class B, Index Channels, Index Condition, Index Width, class T = float>
struct DiffusionHead {
    using Backend = B;
    using Net = DenoisingMlp<B, Channels, Condition, Width, T>;
    using Rows = typename Net::Rows;              // [rows, channels]
    using Conditions = typename Net::Conditions;  // [rows, condition]
    using Hidden = typename Net::Hidden;
    using Scalars = typename Net::Scalars;

    Net net;
    DdpmSchedule process{Ddpm<1000, Cosine>{}};  ///< the process of training

    explicit DiffusionHead(Index depth, bool level_condition = true) : net(depth, level_condition) {}

    /// Loss of every row, [multiplier·rows, 1]: targets and z [rows, …] and level [rows, 1] (or absent) are repeated as
    /// a block `multiplier` times, each copy with its own step and noise [multiplier·rows, channels].
    [[nodiscard]] ddpm::Loss<Scalars> loss(const Rows& target, const Conditions& z, const Scalars& level,
                                           std::span<const Index> steps, const Rows& noise,
                                           Index multiplier = 1) const {
        require(multiplier >= 1, "diffusion loss: expected a multiplier of at least 1, found ", multiplier);
        const Rows x_start = repeat(target, multiplier);
        const Rows x = ddpm::q_sample(process, steps, x_start, noise);
        const Hidden y = repeat(net.condition(z, level), multiplier) + net.times(step_numbers(steps));
        return ddpm::loss(process, steps, x_start, noise, net(x, y));
    }

    /// A noise process with fewer steps, how they are taken, and the network's embedding of each: reusable for any
    /// number of rows.
    struct Prepared {
        DdpmSchedule process;
        Hidden times;  // [steps, width]
        DiffusionSolver solver = DiffusionSolver::ancestral;
    };
    [[nodiscard]] Prepared prepare(const DdpmSchedule& spaced,
                                   DiffusionSolver solver = DiffusionSolver::ancestral) const {
        return {spaced, net.times(step_numbers(spaced.timestep_map)), solver};
    }

    /// The guided output: ε [rows, channels], the same for both halves, and v [2·rows, channels], each half its own.
    struct Guided {
        Rows epsilon;
        Rows v;
    };
    /// ε = ε_null + guidance (ε_cond − ε_null), both at the same x [rows, channels]; y [2·rows, width] holds the
    /// conditional rows, then the null ones. S as in ddpm::StepNumbers.
    template <class S>
    [[nodiscard]] Guided guided(const Rows& x, const Hidden& y, const S& guidance) const {
        const Index rows = x.extent(0);
        const Hidden projected = net.project(x);
        const auto out = net.projected(concat<0>(projected, projected), y);
        const auto epsilon = slice<1, 0, Channels>(out);
        const Rows with = slice<0>(epsilon, 0, rows);
        const Rows without = slice<0>(epsilon, rows, 2 * rows);
        return {without + (with - without) * guidance, slice<1, Channels, 2 * Channels>(out)};
    }

    /// One reverse step of x [rows, channels] at condition y, the time's included: [2·rows, width] with guidance, whose
    /// null rows come last, or [rows, width]. Without noise it is the step's mean.
    template <class S>
    [[nodiscard]] Rows step(const Rows& x, const Hidden& y, const S& guidance, const ddpm::StepNumbers<S>& numbers,
                            const Rows& noise, double clip) const {
        const Index rows = x.extent(0);
        if (y.extent(0) == 2 * rows) {
            const Guided both = guided(x, y, guidance);
            return ddpm::reverse_step(numbers, x, both.epsilon, Rows(slice<0>(both.v, 0, rows)), noise, clip);
        }
        const auto out = net(x, y);
        return ddpm::reverse_step(numbers, x, Rows(slice<1, 0, Channels>(out)),
                                  Rows(slice<1, Channels, 2 * Channels>(out)), noise, clip);
    }

    /// Sampling of one token per row, as `prepared` says. `condition` is `net.condition(z, level)` of all rows; with a
    /// guidance other than 1, of the conditional rows and then of the null rows. With guidance 1 null rows would never
    /// matter, so there are none. `noise(draw)` gives [rows, channels]: draw 0 is the start, draw i ≥ 1 belongs to the
    /// i-th step; the last step draws nothing, and deterministic solvers draw the start alone. Where `stop` returns
    /// true before a step, the result is undefined.
    template <class Noise>
    [[nodiscard]] Rows sample(const Hidden& condition, const Prepared& prepared, double guidance,
                              const ddpm::StepOptions& options, Noise&& noise,
                              const std::function<bool()>& stop = {}) const {
        check_guidance(guidance);
        ddpm::check_step_options(options);
        const bool two = guidance != 1.0;
        require(!two || condition.extent(0) % 2 == 0, "sample: guidance needs one null condition per row, found ",
                condition.extent(0), " conditions");
        const int steps = prepared.process.steps();
        Rows x = noise(0);
        ddpm::SolverRun<Rows> solver(prepared.process, prepared.solver, options.clip);
        for (int t = steps - 1; t >= 0; --t) {
            if (stop && stop()) {
                return {};
            }
            const Hidden y = condition + slice<0>(prepared.times, t, t + 1);
            if (prepared.solver != DiffusionSolver::ancestral) {
                x = solver.step(t, x, two ? guided(x, y, guidance).epsilon : Rows(slice<1, 0, Channels>(net(x, y))));
                continue;
            }
            const bool noisy = t > 0 && options.temperature != 0.0;
            x = step(x, y, guidance, ddpm::step_numbers(prepared.process, t, options.temperature),
                     noisy ? Rows(noise(steps - t)) : Rows(), options.clip);
        }
        return x;
    }

    void initialize(std::uint64_t seed) { net.initialize(fold(seed, "net")); }
    template <class Self, class V>
    static void visit(Self& self, V&& v) {
        v("net", self.net);
    }

   private:
    /// The whole block of rows `count` times.
    template <AnyTensor X>
    [[nodiscard]] static X repeat(const X& x, Index count) {
        if (count == 1) {
            return x;
        }
        constexpr Index width = X::Shape::at(1);
        const Index rows = x.extent(0);
        const auto once = reshape<1, dyn, width>(x, rows);
        const auto all = expand<dyn, dyn, width>(once, count, rows);
        return reshape<dyn, width>(all, count * rows);
    }
    [[nodiscard]] static Tensor<B, Shape<dyn>, T> step_numbers(std::span<const Index> steps) {
        PoolVector<T> numbers;
        numbers.reserve(steps.size());
        for (const Index step : steps) {
            numbers.push_back(static_cast<T>(static_cast<float>(step)));
        }
        return Tensor<B, Shape<dyn>, T>::from_host(numbers, {static_cast<Index>(steps.size())});
    }
};

}  // namespace flowfar
