#pragma once

/// DDPM training and sampling of one row in double, straight from the formulas: the oracle that tensor code is tested
/// against. A row has `channels` values and one step t; the network predicts the noise epsilon.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/diffusion/gaussian.hpp"

namespace flowfar {

/// How p(x_{t-1} | x_t) gets its variance.
enum class DdpmVariance : std::uint8_t {
    learned_range,  ///< the network's second half v interpolates the logarithms: (v + 1)/2 is the share of log beta
    fixed_small,    ///< the posterior variance (clipped logarithm)
    fixed_large     ///< beta, at step 0 the posterior variance of step 1
};

class GaussianReference {
   public:
    using Row = std::vector<double>;
    using In = std::span<const double>;

    /// p(x_{t-1} | x_t), each [channels].
    struct Prediction {
        Row mean;
        Row log_variance;
        Row x_start;
    };

    /// The loss of one row is mse + vb; `gradient` is its derivative with respect to the network's output. The
    /// variational term sees the predicted mean as a constant, so it only moves the variance half.
    struct Loss {
        double mse;    ///< mean squared error of epsilon
        double vb;     ///< bits per channel; 0 for a fixed variance
        Row gradient;  ///< [2 channels] for learned_range, else [channels]
    };

    explicit GaussianReference(DdpmSchedule schedule, DdpmVariance variance = DdpmVariance::learned_range)
        : schedule_(std::move(schedule)), variance_(variance) {}

    [[nodiscard]] const DdpmSchedule& schedule() const { return schedule_; }

    /// x_t = sqrt(a_t) x_0 + sqrt(1 - a_t) noise.
    [[nodiscard]] Row q_sample(int t, In x_start, In noise) const {
        const std::size_t at = step(t);
        check("noise", noise.size(), x_start.size());
        Row out(x_start.size());
        for (std::size_t c = 0; c < out.size(); ++c) {
            out[c] =
                schedule_.sqrt_alphas_cumprod[at] * x_start[c] + schedule_.sqrt_one_minus_alphas_cumprod[at] * noise[c];
        }
        return out;
    }

    /// x_t: [channels]; output: [2 channels] (epsilon, then v) for learned_range, else [channels]. `clip` limits the
    /// predicted x_0 to [-1, 1].
    [[nodiscard]] Prediction predict(int t, In x_t, In output, bool clip = false) const {
        const std::size_t at = step(t);
        check("network output", output.size(), output_size(x_t.size()));
        Prediction out{Row(x_t.size()), Row(x_t.size()), Row(x_t.size())};
        for (std::size_t c = 0; c < x_t.size(); ++c) {
            const double x_start = schedule_.sqrt_recip_alphas_cumprod[at] * x_t[c] -
                                   schedule_.sqrt_recipm1_alphas_cumprod[at] * output[c];
            out.x_start[c] = clip ? std::clamp(x_start, -1.0, 1.0) : x_start;
            out.mean[c] = posterior_mean(at, out.x_start[c], x_t[c]);
            out.log_variance[c] =
                log_variance(at, variance_ == DdpmVariance::learned_range ? output[x_t.size() + c] : 0.0);
        }
        return out;
    }

    [[nodiscard]] Loss loss(int t, In x_start, In noise, In output) const {
        const std::size_t at = step(t);
        const Row x_t = q_sample(t, x_start, noise);
        const Prediction model = predict(t, x_t, output);
        const double channels = static_cast<double>(x_t.size());
        Loss out{0, 0, Row(output.size())};
        for (std::size_t c = 0; c < x_t.size(); ++c) {
            const double error = output[c] - noise[c];
            out.mse += error * error / channels;
            out.gradient[c] = 2 * error / channels;
            if (variance_ != DdpmVariance::learned_range) {
                continue;
            }
            const double mean = posterior_mean(at, x_start[c], x_t[c]);
            const Term term = t == 0 ? discrete_likelihood(x_start[c], model.mean[c], model.log_variance[c])
                                     : divergence(mean, schedule_.posterior_log_variance_clipped[at], model.mean[c],
                                                  model.log_variance[c]);
            const double range = schedule_.log_betas[at] - schedule_.posterior_log_variance_clipped[at];
            out.vb += term.value / (channels * log_two);
            out.gradient[x_t.size() + c] = term.slope * range / 2 / (channels * log_two);
        }
        return out;
    }

    /// x_{t-1} = mean + [t > 0] exp(log variance / 2) temperature noise.
    [[nodiscard]] Row ancestral_step(int t, In x_t, In output, In noise, double temperature = 1,
                                     bool clip = false) const {
        check("noise", noise.size(), x_t.size());
        Prediction model = predict(t, x_t, output, clip);
        for (std::size_t c = 0; t > 0 && c < x_t.size(); ++c) {
            model.mean[c] += std::exp(model.log_variance[c] / 2) * temperature * noise[c];
        }
        return model.mean;
    }

    /// DDIM (Song et al. 2020): sigma = eta sqrt((1 - a_prev) / (1 - a)) sqrt(1 - a / a_prev),
    /// x_{t-1} = sqrt(a_prev) x_0 + sqrt(1 - a_prev - sigma^2) epsilon + [t > 0] sigma noise.
    [[nodiscard]] Row ddim_step(int t, In x_t, In output, In noise, double eta = 0, bool clip = false) const {
        check("noise", noise.size(), x_t.size());
        const Prediction model = predict(t, x_t, output, clip);
        const std::size_t at = step(t);
        const double now = schedule_.alphas_cumprod[at];
        const double before = schedule_.alphas_cumprod_prev[at];
        const double sigma = eta * std::sqrt((1 - before) / (1 - now)) * std::sqrt(1 - now / before);
        Row out(x_t.size());
        for (std::size_t c = 0; c < out.size(); ++c) {
            // epsilon again from x_0, which may have been clipped
            const double epsilon = (schedule_.sqrt_recip_alphas_cumprod[at] * x_t[c] - model.x_start[c]) /
                                   schedule_.sqrt_recipm1_alphas_cumprod[at];
            out[c] = std::sqrt(before) * model.x_start[c] + std::sqrt(1 - before - sigma * sigma) * epsilon +
                     (t > 0 ? sigma * noise[c] : 0.0);
        }
        return out;
    }

   private:
    static constexpr double log_two = 0.69314718055994530942;

    /// A term of the bound in nats, and its derivative with respect to the model's log variance.
    struct Term {
        double value;
        double slope;
    };

    /// KL(N(mean, e^log_variance) || N(model_mean, e^model_log_variance)).
    [[nodiscard]] static Term divergence(double mean, double log_variance, double model_mean,
                                         double model_log_variance) {
        const double ratio = std::exp(log_variance - model_log_variance);
        const double gap = (mean - model_mean) * (mean - model_mean) * std::exp(-model_log_variance);
        return {0.5 * (model_log_variance - log_variance - 1 + ratio + gap), 0.5 * (1 - ratio - gap)};
    }

    /// -log P(x) when [-1, 1] is cut into 256 values: the mass of N(mean, e^log_variance) on x +- 1/255, with open ends
    /// beyond +-0.999, the tanh approximation of the normal distribution, and arguments of log at least 1e-12.
    [[nodiscard]] static Term discrete_likelihood(double x, double mean, double log_variance) {
        const double scale = std::exp(-log_variance / 2);
        const Term upper = distribution((x - mean + 1.0 / 255) * scale);
        const Term lower = distribution((x - mean - 1.0 / 255) * scale);
        const Term mass = x < -0.999  ? upper
                          : x > 0.999 ? Term{1 - lower.value, -lower.slope}
                                      : Term{upper.value - lower.value, upper.slope - lower.slope};
        return mass.value < 1e-12 ? Term{-std::log(1e-12), 0} : Term{-std::log(mass.value), -mass.slope / mass.value};
    }

    /// Approximate normal distribution F(y), and its derivative with respect to the log variance: F'(y) (-y / 2).
    [[nodiscard]] static Term distribution(double y) {
        const double root = std::sqrt(2 / cx::pi);
        const double tanh = std::tanh(root * (y + 0.044715 * y * y * y));
        const double density = 0.5 * (1 - tanh * tanh) * root * (1 + 3 * 0.044715 * y * y);
        return {0.5 * (1 + tanh), -0.5 * y * density};
    }

    [[nodiscard]] double posterior_mean(std::size_t at, double x_start, double x_t) const {
        return schedule_.posterior_mean_coef1[at] * x_start + schedule_.posterior_mean_coef2[at] * x_t;
    }

    [[nodiscard]] double log_variance(std::size_t at, double v) const {
        const double small = schedule_.posterior_log_variance_clipped[at];
        switch (variance_) {
            case DdpmVariance::learned_range:
                return (v + 1) / 2 * schedule_.log_betas[at] + (1 - v) / 2 * small;
            case DdpmVariance::fixed_large:
                return at == 0 ? small : schedule_.log_betas[at];
            case DdpmVariance::fixed_small:
                break;
        }
        return small;
    }

    [[nodiscard]] std::size_t output_size(std::size_t channels) const {
        return variance_ == DdpmVariance::learned_range ? 2 * channels : channels;
    }

    [[nodiscard]] std::size_t step(int t) const {
        require(t >= 0 && t < schedule_.steps(), "GaussianReference: step ", t, " of ", schedule_.steps());
        return static_cast<std::size_t>(t);
    }

    static void check(const char* what, std::size_t found, std::size_t expected) {
        require(found == expected, "GaussianReference: ", what, " has ", found, " values, expected ", expected);
    }

    DdpmSchedule schedule_;
    DdpmVariance variance_;
};

}  // namespace flowfar
