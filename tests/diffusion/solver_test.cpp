/// Deterministic solvers against the exact solution for a Gaussian, whose ε is known.

#include "flowfar/diffusion/solver.hpp"

#include <cmath>
#include <doctest/doctest.h>
#include <vector>

#include "flowfar/backend/reference.hpp"
#include "flowfar/diffusion/respacing.hpp"

using namespace flowfar;

namespace {

using X = Tensor<Reference, Shape<dyn, dyn>, double>;

/// Clean rows are N(mean, deviation²), so that everything about a step follows from ᾱ.
struct Gaussian {
    double mean = 1.5;
    double deviation = 0.5;

    [[nodiscard]] double variance(double kept) const { return kept * deviation * deviation + 1.0 - kept; }
    [[nodiscard]] X epsilon(double kept, const X& x) const {
        return (x - std::sqrt(kept) * mean) * (std::sqrt(1.0 - kept) / variance(kept));
    }
    /// Where the probability flow leads from x at `from` when it has reached `to`, and the mean of the clean rows
    /// there.
    [[nodiscard]] double solution(double from, double to, double x) const {
        const double there =
            std::sqrt(to) * mean + std::sqrt(variance(to) / variance(from)) * (x - std::sqrt(from) * mean);
        return mean + deviation * deviation * std::sqrt(to) * (there - std::sqrt(to) * mean) / variance(to);
    }
};

const DdpmSchedule full{Ddpm<1000, Cosine>{}};

/// The error of `count` steps from x = 0.7.
double error(DiffusionSolver solver, Index count, double clip = 0.0) {
    const Gaussian data;
    const int limit = ddpm::solvable_steps(full);
    const DdpmSchedule process =
        respace(full, solver == DiffusionSolver::ddim ? spaced_steps(limit, {count})
                                                      : ddpm::even_snr_steps(full, limit, count));
    ddpm::SolverRun<X> run(process, solver, clip);
    X x = X::full({1, 1}, 0.7);
    for (int t = process.steps() - 1; t >= 0; --t) {
        x = run.step(t, x, data.epsilon(process.alphas_cumprod[static_cast<std::size_t>(t)], x));
    }
    const double want = data.solution(process.alphas_cumprod.back(), process.alphas_cumprod.front(), 0.7);
    return std::abs(x.to_host()[0] - want);
}

}  // namespace

TEST_CASE("both solvers converge to the exact solution, DDIM in first order and DPM-Solver++ in second") {
    double before[2] = {0.0, 0.0};
    for (const Index count : {16, 32, 64}) {
        CAPTURE(count);
        const double now[2] = {error(DiffusionSolver::ddim, count), error(DiffusionSolver::dpm2m, count)};
        if (count > 16) {
            CHECK(before[0] / now[0] == doctest::Approx(2.0).epsilon(0.05));
            CHECK(before[1] / now[1] == doctest::Approx(4.0).epsilon(0.12));
        }
        before[0] = now[0];
        before[1] = now[1];
    }
    CHECK(before[1] < 1e-3);
    for (const Index count : {6, 8, 12, 16}) {
        CHECK(3.0 * error(DiffusionSolver::dpm2m, count) < error(DiffusionSolver::ddim, count));
    }
}

TEST_CASE("predicted clean rows are limited") {
    // The solution lies near 1.4: a limit above never acts, one below holds the result.
    CHECK(error(DiffusionSolver::dpm2m, 8, 100.0) == error(DiffusionSolver::dpm2m, 8));
    for (const DiffusionSolver solver : {DiffusionSolver::ddim, DiffusionSolver::dpm2m}) {
        CHECK(error(solver, 8, 0.5) > 0.5);
    }
}

TEST_CASE("steps of a solver: none without signal, evenly spaced in λ, all if all are asked for") {
    CHECK(ddpm::solvable_steps(full) == 996);
    CHECK(ddpm::half_log_snr(full, 995) >= -5.1);
    CHECK(ddpm::half_log_snr(full, 996) < -5.1);
    CHECK(ddpm::solvable_steps(DdpmSchedule(Ddpm<1000, LinearBetas>{})) == 1000);
    CHECK(ddpm::even_snr_steps(full, 996, 8) == std::vector<Index>{0, 10, 66, 285, 713, 927, 982, 995});
    CHECK(ddpm::even_snr_steps(full, 996, 1) == std::vector<Index>{995});
    std::vector<Index> all(996);
    for (std::size_t i = 0; i < all.size(); ++i) {
        all[i] = static_cast<Index>(i);
    }
    CHECK(ddpm::even_snr_steps(full, 996, 996) == all);
    const std::vector<Index> many = ddpm::even_snr_steps(full, 996, 500);
    for (std::size_t i = 1; i < many.size(); ++i) {
        CHECK(many[i] > many[i - 1]);
    }
    CHECK(many.back() == 995);
    CHECK_THROWS_WITH_AS(static_cast<void>(ddpm::even_snr_steps(full, 996, 997)), "even_snr_steps: 997 of 996 steps",
                         Error);
}
