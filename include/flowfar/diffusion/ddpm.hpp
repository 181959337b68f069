#pragma once

/// DDPM training and sampling on tensors with a learned variance range: rows [rows, channels] of an ε-predicting
/// network whose output is [rows, 2·channels], ε then v.

#include <cmath>
#include <span>

#include "flowfar/autodiff/backward.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"
#include "flowfar/diffusion/gaussian.hpp"

namespace flowfar::ddpm {

/// The table's entry for each row's step, [rows, 1]. Throws `Error` for a step outside the process.
template <AnyTensor X>
[[nodiscard]] auto per_row(std::span<const double> table, std::span<const Index> steps) {
    using T = typename X::Element;
    PoolVector<T> values;
    values.reserve(steps.size());
    for (const Index step : steps) {
        require(step >= 0 && step < static_cast<Index>(table.size()), "ddpm: step ", step, ", expected 0 to ",
                table.size() - 1);
        values.push_back(static_cast<T>(static_cast<float>(table[static_cast<std::size_t>(step)])));
    }
    return WithShape<X, Shape<dyn, 1>>::from_host(values, {static_cast<Index>(steps.size()), 1});
}

/// x_t = sqrt(a_t) x_0 + sqrt(1 − a_t) noise, with one step per row.
template <AnyTensor X>
[[nodiscard]] X q_sample(const DdpmSchedule& process, std::span<const Index> steps, const X& x_start, const X& noise) {
    require(x_start.extents() == noise.extents() && x_start.extent(0) == static_cast<Index>(steps.size()), "ddpm: x ",
            x_start.extents(), ", noise ", noise.extents(), ", ", steps.size(), " steps");
    return x_start * per_row<X>(process.sqrt_alphas_cumprod, steps) +
           noise * per_row<X>(process.sqrt_one_minus_alphas_cumprod, steps);
}

/// Loss of each row, [rows, 1]; the training loss is mse + vb.
template <class Rows>
struct Loss {
    Rows mse;  ///< mean squared error of ε
    Rows vb;   ///< variational bound, bits per channel; moves only v
};

namespace detail {

/// The tanh approximation of the normal distribution function. Beyond ±30 it is 0 or 1 to the last bit.
template <AnyTensor X>
[[nodiscard]] X normal_distribution(const X& y) {
    const X z = clamp(y, -30.0, 30.0);
    return affine(tanh((z + square(z) * z * flowfar::detail::gelu_cubic) * std::sqrt(2.0 / cx::pi)), 0.5, 0.5);
}

/// −log of the mass that N(mean, e^log_variance) puts on x ± 1/255 in nats, open ended beyond ±0.999; `gap` = x − mean.
template <AnyTensor X>
[[nodiscard]] X discrete_likelihood(const X& x, const X& gap, const X& log_variance) {
    using B = typename X::Backend;
    const auto constant = [](double value) { return B::full({}, dtype_of<typename X::Element>, value); };
    const X scale = exp(log_variance * -0.5);
    const X upper = normal_distribution(X((gap + 1.0 / 255.0) * scale));
    const X lower = normal_distribution(X((gap - 1.0 / 255.0) * scale));
    const X first(B::binary(BinaryOp::less, x.handle(), constant(-0.999)));
    const X last(B::binary(BinaryOp::greater, x.handle(), constant(0.999)));
    const X mass = where(first, upper, where(last, X(1.0 - lower), X(upper - lower)));
    return -log(clamp(mass, 1e-12, cx::infinity));
}

/// Rows of x whose numbers are listed.
template <AnyTensor X, AnyTensor R>
[[nodiscard]] X rows_of(const X& x, const R& rows) {
    return X(gather_rows(x, rows));
}

}  // namespace detail

/// Training loss of each row: x_start, noise [rows, channels], output [rows, 2·channels], one step per row. The bound
/// sees the predicted mean as a constant (Nichol & Dhariwal 2021).
template <AnyTensor X, AnyTensor Y>
[[nodiscard]] auto loss(const DdpmSchedule& process, std::span<const Index> steps, const X& x_start, const X& noise,
                        const Y& output) {
    static_assert(X::Shape::rank == 2 && Y::Shape::rank == 2, "ddpm: expects [rows, channels]");
    using Rows = WithShape<X, Shape<dyn, 1>>;
    using Integers = Tensor<typename X::Backend, Shape<dyn>, Index>;
    using B = typename X::Backend;
    const Index rows = x_start.extent(0);
    const Index channels = x_start.extent(1);
    require(output.extent(0) == rows && output.extent(1) == 2 * channels && noise.extents() == x_start.extents() &&
                static_cast<Index>(steps.size()) == rows,
            "ddpm: x ", x_start.extents(), ", noise ", noise.extents(), ", output ", output.extents(), ", ",
            steps.size(), " steps");
    // Tables per step; at step 0 the likelihood replaces the divergence.
    const std::size_t count = process.betas.size();
    PoolVector<double> range(count);
    PoolVector<double> gap_scale(count);
    PoolVector<double> later(count, 1.0);
    later[0] = 0.0;
    for (std::size_t t = 0; t < count; ++t) {
        range[t] = process.log_betas[t] - process.posterior_log_variance_clipped[t];
        gap_scale[t] = process.posterior_mean_coef1[t] * process.sqrt_recipm1_alphas_cumprod[t];
    }
    const X epsilon = slice<1>(output, 0, channels);
    const X v = slice<1>(output, channels, 2 * channels);
    const auto small = per_row<X>(process.posterior_log_variance_clipped, steps);
    const X excess = affine(v, 0.5, 0.5) * per_row<X>(range, steps);  // log variance − the posterior's
    const X log_variance = excess + small;
    // True minus predicted posterior mean: the noise error in other units, without the cancellation of two means.
    const X gap = (detach(epsilon) - noise) * per_row<X>(gap_scale, steps);

    Loss<Rows> out;
    out.mse = mean<1>(square(epsilon - noise));
    const X divergence = (excess - 1.0 + exp(-excess) + square(gap) * exp(-log_variance)) * 0.5;
    out.vb = Rows(mean<1>(divergence)) * per_row<X>(later, steps);
    PoolVector<Index> first;
    for (Index row = 0; row < rows; ++row) {
        if (steps[static_cast<std::size_t>(row)] == 0) {
            first.push_back(row);
        }
    }
    if (!first.empty()) {
        const auto list = Integers::from_host(first, {static_cast<Index>(first.size())});
        const Rows nats = mean<1>(detail::discrete_likelihood(
            detail::rows_of(x_start, list), detail::rows_of(gap, list), detail::rows_of(log_variance, list)));
        out.vb = out.vb + Rows(B::scatter_add_rows(nats.handle(), list.handle(), rows));
    }
    out.vb = out.vb * (1.0 / 0.69314718055994530942);
    return out;
}

/// How a reverse step is taken.
struct StepOptions {
    double temperature = 1.0;  ///< factor of the noise
    double clip = 0.0;         ///< limit the predicted x_0 to [−clip, clip]; 0: no limit
};
/// Throws `Error` for a temperature or limit that is negative or not finite.
inline void check_step_options(const StepOptions& options) {
    require(std::isfinite(options.temperature) && options.temperature >= 0.0,
            "temperature: expected a finite number of at least 0, found ", options.temperature);
    require(std::isfinite(options.clip) && options.clip >= 0.0, "limit: expected a finite number of at least 0, found ",
            options.clip);
}

/// The x_0 that ε implies at step t, limited to [−clip, clip] unless that is 0.
template <AnyTensor X>
[[nodiscard]] X predict_start(const DdpmSchedule& process, int t, const X& x, const X& epsilon, double clip) {
    const auto at = static_cast<std::size_t>(t);
    const X start = x * process.sqrt_recip_alphas_cumprod[at] - epsilon * process.sqrt_recipm1_alphas_cumprod[at];
    return clip > 0.0 ? clamp(start, -clip, clip) : start;
}

/// The numbers of a reverse step. S is double or, where steps are recorded to be run with other numbers, what stands
/// for one on the device: something that `tensor * s` and `affine(tensor, s, s)` take.
template <class S>
struct StepNumbers {
    S start_of_x, start_of_epsilon;    ///< predicted x_0 = start_of_x x − start_of_epsilon ε
    S mean_of_start, mean_of_x;        ///< posterior mean = mean_of_start x_0 + mean_of_x x
    S direct_of_x, direct_of_epsilon;  ///< the same without x_0: direct_of_x x − direct_of_epsilon ε
    S slope, offset;                   ///< logarithm of the deviation = slope v + offset
    S temperature;                     ///< factor of the noise
};

/// Those of step t, a position in `process`.
[[nodiscard]] inline StepNumbers<double> step_numbers(const DdpmSchedule& process, int t, double temperature) {
    const auto at = static_cast<std::size_t>(t);
    const double first = process.posterior_mean_coef1[at];
    const double second = process.posterior_mean_coef2[at];
    const double of_x = process.sqrt_recip_alphas_cumprod[at];
    const double of_epsilon = process.sqrt_recipm1_alphas_cumprod[at];
    const double small = process.posterior_log_variance_clipped[at];
    const double range = process.log_betas[at] - small;
    return {of_x,
            of_epsilon,
            first,
            second,
            first * of_x + second,
            first * of_epsilon,
            range / 4.0,
            small / 2.0 + range / 4.0,
            temperature};
}

/// x_{t−1} by the numbers of a step; without noise, its mean. `clip` as in StepOptions.
template <AnyTensor X, class S>
[[nodiscard]] X reverse_step(const StepNumbers<S>& n, const X& x, const X& epsilon, const X& v, const X& noise,
                             double clip) {
    X mean;
    if (clip > 0.0) {
        const X start = clamp(x * n.start_of_x - epsilon * n.start_of_epsilon, -clip, clip);
        mean = start * n.mean_of_start + x * n.mean_of_x;
    } else {
        mean = x * n.direct_of_x - epsilon * n.direct_of_epsilon;
    }
    if (!noise.defined()) {
        return mean;
    }
    const X deviation = exp(affine(v, n.slope, n.offset));
    return mean + deviation * noise * n.temperature;
}

/// x_{t−1} = mean + [t > 0] exp(log variance / 2) · temperature · noise (Ho et al. 2020). All [rows, channels]; t is a
/// position in `process`. At t = 0 the noise is not read and may be absent.
template <AnyTensor X>
[[nodiscard]] X ancestral_step(const DdpmSchedule& process, int t, const X& x, const X& epsilon, const X& v,
                               const X& noise, StepOptions options = {}) {
    const bool noisy = t > 0 && options.temperature != 0.0;
    return reverse_step(step_numbers(process, t, options.temperature), x, epsilon, v, noisy ? noise : X(),
                        options.clip);
}

/// DDIM (Song et al. 2020) from x_t to x_{t−1}; `eta` 0 is deterministic and needs no noise.
template <AnyTensor X>
[[nodiscard]] X ddim_step(const DdpmSchedule& process, int t, const X& x, const X& epsilon, const X& noise,
                          double eta = 0.0, double clip = 0.0) {
    const auto at = static_cast<std::size_t>(t);
    const double now = process.alphas_cumprod[at];
    const double before = process.alphas_cumprod_prev[at];
    const double sigma = eta * std::sqrt((1.0 - before) / (1.0 - now)) * std::sqrt(1.0 - now / before);
    const X start = predict_start(process, t, x, epsilon, clip);
    const X direction =
        clip > 0.0 ? X((x * process.sqrt_recip_alphas_cumprod[at] - start) / process.sqrt_recipm1_alphas_cumprod[at])
                   : epsilon;
    const X mean = start * std::sqrt(before) + direction * std::sqrt(1.0 - before - sigma * sigma);
    return t == 0 || sigma == 0.0 ? mean : X(mean + noise * sigma);
}

}  // namespace flowfar::ddpm
