#pragma once

/// Gaussian (DDPM) noise processes as tables in double: `Ddpm<1000, Cosine>` at compile time, `DdpmSchedule` at run
/// time. Sources: Ho et al. 2020 (DDPM) and Nichol & Dhariwal 2021 (cosine schedule, learned variance range).

#include <array>
#include <cstddef>
#include <utility>
#include <vector>

#include "flowfar/core/constexpr_math.hpp"
#include "flowfar/core/dtype.hpp"
#include "flowfar/core/error.hpp"

namespace flowfar {

/// beta_t = min(1 - a((t + 1) / T) / a(t / T), 0.999) with a(s) = cos^2(pi/2 (s + 0.008) / 1.008).
struct Cosine {
    [[nodiscard]] static constexpr double beta(int t, int steps) {
        const double ratio = kept(t + 1, steps) / kept(t, steps);
        return 1 - ratio < 0.999 ? 1 - ratio : 0.999;
    }

   private:
    [[nodiscard]] static constexpr double kept(int t, int steps) {
        const double s = static_cast<double>(t) / static_cast<double>(steps);
        const double root = cx::cos((s + 0.008) / 1.008 * cx::pi / 2);
        return root * root;
    }
};

/// beta_t in equal steps from 0.0001 to 0.02, both included; scaled by 1000 / T for another number of steps.
struct LinearBetas {
    [[nodiscard]] static constexpr double beta(int t, int steps) {
        const double scale = 1000.0 / static_cast<double>(steps);
        const double first = scale * 0.0001;
        const double last = scale * 0.02;
        return steps == 1 ? first : first + static_cast<double>(t) * ((last - first) / static_cast<double>(steps - 1));
    }
};

namespace detail {

/// A table like `model` whose entry t is `entry(t)`; Table is std::array or std::vector.
template <class Table, class Entry>
[[nodiscard]] constexpr Table tabulate(const Table& model, Entry entry) {
    Table out = model;
    for (std::size_t t = 0; t < out.size(); ++t) {
        out[t] = entry(t);
    }
    return out;
}

/// Products of 1 - beta up to and including t.
template <class Table>
[[nodiscard]] constexpr Table cumulative_alphas(const Table& betas) {
    double product = 1;
    return tabulate(betas, [&](std::size_t t) { return product *= 1 - betas[t]; });
}

/// The table one step earlier; 1 before the first step.
template <class Table>
[[nodiscard]] constexpr Table previous_alphas(const Table& alphas_cumprod) {
    return tabulate(alphas_cumprod, [&](std::size_t t) { return t == 0 ? 1.0 : alphas_cumprod[t - 1]; });
}

/// Variance of q(x_{t-1} | x_t, x_0): beta (1 - a_prev) / (1 - a).
template <class Table>
[[nodiscard]] constexpr Table posterior_variances(const Table& betas, const Table& now, const Table& before) {
    return tabulate(betas, [&](std::size_t t) { return betas[t] * (1 - before[t]) / (1 - now[t]); });
}

/// Its logarithm. Entry 0 would be -infinity and repeats entry 1 (a process of one step has only beta to offer).
template <class Table>
[[nodiscard]] constexpr Table clipped_logarithms(const Table& variances, const Table& betas) {
    return tabulate(variances, [&](std::size_t t) {
        return cx::log(t > 0 ? variances[t] : (variances.size() > 1 ? variances[1] : betas[0]));
    });
}

template <class Table>
[[nodiscard]] constexpr Table logarithms(const Table& values) {
    return tabulate(values, [&](std::size_t t) { return cx::log(values[t]); });
}

template <class Table>
[[nodiscard]] constexpr Table roots(const Table& values) {
    return tabulate(values, [&](std::size_t t) { return cx::sqrt(values[t]); });
}

template <class Table>
[[nodiscard]] constexpr Table roots_of_rest(const Table& values) {
    return tabulate(values, [&](std::size_t t) { return cx::sqrt(1 - values[t]); });
}

template <class Table>
[[nodiscard]] constexpr Table roots_of_inverse(const Table& values, double less) {
    return tabulate(values, [&](std::size_t t) { return cx::sqrt(1 / values[t] - less); });
}

template <class Table>
[[nodiscard]] constexpr Table mean_coefficients_of_start(const Table& betas, const Table& now, const Table& before) {
    return tabulate(betas, [&](std::size_t t) { return betas[t] * cx::sqrt(before[t]) / (1 - now[t]); });
}

template <class Table>
[[nodiscard]] constexpr Table mean_coefficients_of_sample(const Table& betas, const Table& now, const Table& before) {
    return tabulate(betas, [&](std::size_t t) { return (1 - before[t]) * cx::sqrt(1 - betas[t]) / (1 - now[t]); });
}

/// The betas of the subsequence `kept`: 1 - a[kept_i] / a[kept_{i-1}], so that cumulative products survive.
template <class Out, class Kept, class Table>
[[nodiscard]] constexpr Out spaced_betas(const Kept& kept, const Table& alphas_cumprod, Out out) {
    double last = 1;
    for (std::size_t i = 0; i < kept.size(); ++i) {
        const double now = alphas_cumprod[static_cast<std::size_t>(kept[i])];
        out[i] = 1 - now / last;
        last = now;
    }
    return out;
}

}  // namespace detail

/// The tables of the process whose `Source::betas` is a static constexpr std::array and whose `Source::timestep_map`
/// gives the step number shown to the network. Each table is evaluated only where it is used.
template <class Source>
struct DdpmTables {
    using Table = decltype(Source::betas);
    static constexpr int steps = static_cast<int>(Source::betas.size());
    static constexpr auto timestep_map = Source::timestep_map;

    static constexpr Table betas = Source::betas;
    static constexpr Table log_betas = detail::logarithms(betas);
    static constexpr Table alphas_cumprod = detail::cumulative_alphas(betas);
    static constexpr Table alphas_cumprod_prev = detail::previous_alphas(alphas_cumprod);
    static constexpr Table sqrt_alphas_cumprod = detail::roots(alphas_cumprod);
    static constexpr Table sqrt_one_minus_alphas_cumprod = detail::roots_of_rest(alphas_cumprod);
    static constexpr Table sqrt_recip_alphas_cumprod = detail::roots_of_inverse(alphas_cumprod, 0);
    static constexpr Table sqrt_recipm1_alphas_cumprod = detail::roots_of_inverse(alphas_cumprod, 1);
    static constexpr Table posterior_variance = detail::posterior_variances(betas, alphas_cumprod, alphas_cumprod_prev);
    static constexpr Table posterior_log_variance_clipped = detail::clipped_logarithms(posterior_variance, betas);
    static constexpr Table posterior_mean_coef1 =
        detail::mean_coefficients_of_start(betas, alphas_cumprod, alphas_cumprod_prev);
    static constexpr Table posterior_mean_coef2 =
        detail::mean_coefficients_of_sample(betas, alphas_cumprod, alphas_cumprod_prev);
};

namespace detail {

template <int Steps, class BetaCurve>
struct CurveSource {
    static_assert(Steps >= 1, "Ddpm: at least one step is needed");
    static constexpr std::size_t count = Steps < 1 ? 1 : static_cast<std::size_t>(Steps);
    static constexpr auto betas = [] {
        std::array<double, count> out{};
        for (std::size_t t = 0; t < count; ++t) {
            out[t] = BetaCurve::beta(static_cast<int>(t), static_cast<int>(count));
        }
        return out;
    }();
    static_assert(betas[0] > 0 && betas[count - 1] < 1, "Ddpm: betas must lie between 0 and 1");
    static constexpr auto timestep_map = [] {
        std::array<Index, count> out{};
        for (std::size_t t = 0; t < count; ++t) {
            out[t] = static_cast<Index>(t);
        }
        return out;
    }();
};

}  // namespace detail

/// A process of `Steps` steps as a type. `BetaCurve::beta(t, steps)` is `Cosine`, `LinearBetas` or your own.
template <int Steps, class BetaCurve = Cosine>
struct Ddpm : DdpmTables<detail::CurveSource<Steps, BetaCurve>> {};

/// The run-time twin of `Ddpm` and of `Spaced` (respacing.hpp): the same tables, entry t for step t = 0, ..., steps
/// - 1.
struct DdpmSchedule {
    using Table = std::vector<double>;

    /// Throws `Error` unless there is a beta, all betas lie strictly between 0 and 1, and `map` is as long as `betas`.
    DdpmSchedule(std::vector<double> given, std::vector<Index> map)
        : timestep_map(std::move(map)), betas(checked(std::move(given), timestep_map.size())) {}

    /// From a type such as `Ddpm<1000, Cosine>`.
    template <class Process>
        requires requires {
            Process::betas;
            Process::timestep_map;
        }
    explicit DdpmSchedule(Process /*process*/)
        : DdpmSchedule({Process::betas.begin(), Process::betas.end()},
                       {Process::timestep_map.begin(), Process::timestep_map.end()}) {}

    /// From a beta curve and a number of steps known at run time. Throws `Error` for steps < 1.
    template <class BetaCurve>
    [[nodiscard]] static DdpmSchedule from_curve(int steps) {
        require(steps >= 1, "DdpmSchedule: expected at least 1 step, found ", steps);
        std::vector<double> given;
        std::vector<Index> map;
        for (int t = 0; t < steps; ++t) {
            given.push_back(BetaCurve::beta(t, steps));
            map.push_back(t);
        }
        return {std::move(given), std::move(map)};
    }

    [[nodiscard]] int steps() const { return static_cast<int>(betas.size()); }

    std::vector<Index> timestep_map;  ///< the step number shown to the network
    Table betas;
    Table log_betas = detail::logarithms(betas);
    Table alphas_cumprod = detail::cumulative_alphas(betas);
    Table alphas_cumprod_prev = detail::previous_alphas(alphas_cumprod);
    Table sqrt_alphas_cumprod = detail::roots(alphas_cumprod);
    Table sqrt_one_minus_alphas_cumprod = detail::roots_of_rest(alphas_cumprod);
    Table sqrt_recip_alphas_cumprod = detail::roots_of_inverse(alphas_cumprod, 0);
    Table sqrt_recipm1_alphas_cumprod = detail::roots_of_inverse(alphas_cumprod, 1);
    Table posterior_variance = detail::posterior_variances(betas, alphas_cumprod, alphas_cumprod_prev);
    Table posterior_log_variance_clipped = detail::clipped_logarithms(posterior_variance, betas);
    Table posterior_mean_coef1 = detail::mean_coefficients_of_start(betas, alphas_cumprod, alphas_cumprod_prev);
    Table posterior_mean_coef2 = detail::mean_coefficients_of_sample(betas, alphas_cumprod, alphas_cumprod_prev);

   private:
    [[nodiscard]] static std::vector<double> checked(std::vector<double> given, std::size_t map_size) {
        require(!given.empty(), "DdpmSchedule: expected at least 1 step, found 0");
        require(given.size() == map_size, "DdpmSchedule: ", given.size(), " betas, but ", map_size, " step numbers");
        for (std::size_t t = 0; t < given.size(); ++t) {
            require(given[t] > 0 && given[t] < 1, "DdpmSchedule: beta ", t, " is ", given[t],
                    ", expected a number between 0 and 1");
        }
        return given;
    }
};

}  // namespace flowfar
