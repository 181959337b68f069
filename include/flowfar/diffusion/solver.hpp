#pragma once

/// Deterministic solvers of a DDPM process for few steps: DDIM (Song et al. 2020) and DPM-Solver++(2M) (Lu et al.
/// 2022). They follow the probability flow from the first noise to the clean row and draw nothing on the way.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "flowfar/diffusion/ddpm.hpp"

namespace flowfar {

/// How the reverse process is followed.
enum class DiffusionSolver : std::uint8_t {
    ancestral,  ///< DDPM: random, for tens of steps or more
    ddim,       ///< of first order
    dpm2m       ///< DPM-Solver++(2M), of second order: 4 to 16 steps
};

namespace ddpm {

/// λ_t = ln(√ᾱ_t / √(1 − ᾱ_t)), half the logarithm of the signal-to-noise ratio before step t, a position in `process`.
[[nodiscard]] inline double half_log_snr(const DdpmSchedule& process, int t) {
    const double kept = process.alphas_cumprod[static_cast<std::size_t>(t)];
    return 0.5 * std::log(kept / (1.0 - kept));
}

/// How many steps of a process, from 0 on, a deterministic solver can use: those with λ ≥ −5.1. Where less signal is
/// left, as in the last steps of the cosine schedule, ε says nothing of the clean row, but its errors are multiplied by
/// e^−λ, and no noise covers them later.
[[nodiscard]] inline int solvable_steps(const DdpmSchedule& process) {
    int steps = process.steps();
    while (steps > 1 && half_log_snr(process, steps - 1) < -5.1) {
        --steps;
    }
    return steps;
}

/// `count` of the first `limit` steps of a process, increasing, as evenly spaced in λ as whole steps allow: where
/// DPM-Solver++ is most exact.
[[nodiscard]] inline std::vector<Index> even_snr_steps(const DdpmSchedule& process, int limit, Index count) {
    require(limit >= 1 && limit <= process.steps() && count >= 1 && count <= limit, "even_snr_steps: ", count, " of ",
            limit, " steps");
    const double most = half_log_snr(process, 0);
    const double least = half_log_snr(process, limit - 1);
    std::vector<Index> steps;
    int t = 0;
    for (Index k = 0; k < count; ++k) {
        const double share = count > 1 ? static_cast<double>(k) / static_cast<double>(count - 1) : 1.0;
        const double wanted = most + (least - most) * share;
        while (t + 1 < limit && half_log_snr(process, t + 1) >= wanted) {
            ++t;
        }
        const bool next = t + 1 < limit && wanted - half_log_snr(process, t + 1) < half_log_snr(process, t) - wanted;
        const Index nearest = t + (next ? 1 : 0);
        const Index first = steps.empty() ? 0 : steps.back() + 1;
        steps.push_back(std::clamp(nearest, first, Index{limit} - count + k));
    }
    return steps;
}

/// The state of a deterministic solver of rows [rows, channels]: give `step` the ε of every step, from the noisiest on.
///
///     ddpm::SolverRun<Rows> solver(process, DiffusionSolver::dpm2m, 0.0);
///     for (int t = process.steps() - 1; t >= 0; --t) {
///         x = solver.step(t, x, epsilon(x, t));
///     }
template <AnyTensor X>
class SolverRun {
   public:
    /// `process` must outlive the run; `clip` as in StepOptions.
    SolverRun(const DdpmSchedule& process, DiffusionSolver solver, double clip)
        : process_(process), solver_(solver), clip_(clip) {}

    /// x_{t−1} of x_t and ε; t is a position in the process.
    [[nodiscard]] X step(int t, const X& x, const X& epsilon) {
        if (solver_ == DiffusionSolver::ddim) {
            return ddim_step(process_, t, x, epsilon, X(), 0.0, clip_);
        }
        const X start = predict_start(process_, t, x, epsilon, clip_);
        if (t == 0) {
            return start;  // no noise is left: the step to λ = ∞ is of first order
        }
        // Equation (9) of the paper with t_{i−1} = step t and t_i = step t − 1.
        const double now = process_.alphas_cumprod[static_cast<std::size_t>(t)];
        const double after = process_.alphas_cumprod[static_cast<std::size_t>(t - 1)];
        const double h = half_log_snr(process_, t - 1) - half_log_snr(process_, t);
        X direction = start;
        if (before_.defined()) {
            const double half = 0.5 * h / length_;  // 1 / 2r
            direction = start * (1.0 + half) - before_ * half;
        }
        before_ = start;
        length_ = h;
        return x * std::sqrt((1.0 - after) / (1.0 - now)) - direction * (std::sqrt(after) * std::expm1(-h));
    }

   private:
    const DdpmSchedule& process_;
    DiffusionSolver solver_;
    double clip_;
    X before_;             // the clean rows that the last step predicted
    double length_ = 0.0;  // of the last step, in λ
};

}  // namespace ddpm

}  // namespace flowfar
