#pragma once

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/autoregressive/config.hpp"
#include "flowfar/diffusion/respacing.hpp"

namespace flowfar {

/// How many diffusion steps each autoregressive step takes: a schedule policy over k = 0 … n − 1, coarse to fine.
class DiffusionSteps {
   public:
    /// As many in every autoregressive step: `far.generate({207}, {.steps = 50})`.
    DiffusionSteps(int count) : DiffusionSteps(constant(count)) {}
    [[nodiscard]] static DiffusionSteps constant(int count) { return DiffusionSteps(Kind::linear, {count, count}); }
    /// round(lo + (hi − lo)·k/(n − 1)): arXiv 2503.05305 spends fewer steps on low frequencies, 40 to 100.
    [[nodiscard]] static DiffusionSteps linear(int lo = 40, int hi = 100) {
        return DiffusionSteps(Kind::linear, {lo, hi});
    }
    /// Rising linearly in the ratio 40 : 100 with this mean.
    [[nodiscard]] static DiffusionSteps linear_with_mean(double mean) {
        require(std::isfinite(mean) && mean >= 1.0, "diffusion steps: expected a mean of at least 1, found ", mean);
        DiffusionSteps out(Kind::linear, {});
        out.low_ = mean * 4.0 / 7.0;
        out.high_ = mean * 10.0 / 7.0;
        return out;
    }
    /// One number per autoregressive step.
    [[nodiscard]] static DiffusionSteps list(std::vector<int> counts) {
        return DiffusionSteps(Kind::list, std::move(counts));
    }
    /// Equal steps everywhere, in the words of `spaced_steps`: "100", "10,15,20", "ddim50".
    [[nodiscard]] static DiffusionSteps spaced(std::string specification) {
        DiffusionSteps out(Kind::text, {});
        out.text_ = std::move(specification);
        return out;
    }

    /// The steps that autoregressive step k of n keeps of a process of `trained` steps, increasing. Throws `Error` for
    /// a number outside 1 … trained or a list of another length than n.
    [[nodiscard]] std::vector<Index> kept(int k, int n, int trained) const {
        if (kind_ == Kind::text) {
            return spaced_steps(trained, text_);
        }
        const int count = number(k, n);
        require(count >= 1 && count <= trained, "diffusion steps: ", count, " at autoregressive step ", k,
                ", expected 1 to ", trained);
        return spaced_steps(trained, {Index{count}});
    }

    /// Whether the steps themselves are given, and not their number.
    [[nodiscard]] bool spelled_out() const {
        return kind_ == Kind::text && text_.find_first_not_of("0123456789") != std::string::npos;
    }

   private:
    enum class Kind { linear, list, text };

    DiffusionSteps(Kind kind, std::vector<int> counts) : kind_(kind), counts_(std::move(counts)) {
        if (kind == Kind::linear && counts_.size() == 2) {
            low_ = counts_[0];
            high_ = counts_[1];
        }
    }
    [[nodiscard]] int number(int k, int n) const {
        if (kind_ == Kind::list) {
            require(static_cast<int>(counts_.size()) == n, "diffusion steps: a list of ", counts_.size(), " for ", n,
                    " autoregressive steps");
            return counts_[static_cast<std::size_t>(k)];
        }
        const double share = n > 1 ? static_cast<double>(k) / static_cast<double>(n - 1) : 1.0;
        return static_cast<int>(std::lround(low_ + (high_ - low_) * share));
    }

    Kind kind_;
    std::vector<int> counts_;
    double low_ = 0.0;
    double high_ = 0.0;
    std::string text_;
};

/// A share of the way: `done` of `all`.
struct Share {
    Index done;
    Index all;
};
[[nodiscard]] inline double guidance_at(GuidanceSchedule schedule, double guidance, Share share) {
    return schedule == GuidanceSchedule::constant
               ? guidance
               : 1.0 + (guidance - 1.0) * static_cast<double>(share.done) / static_cast<double>(share.all);
}
[[nodiscard]] inline double temperature_at(TemperatureSchedule schedule, double temperature, bool masked, int k,
                                           int n) {
    if (schedule == TemperatureSchedule::published) {
        schedule = masked ? TemperatureSchedule::linear : TemperatureSchedule::cosine;
        temperature = masked ? temperature : 1.0;
    }
    switch (schedule) {
        case TemperatureSchedule::cosine:
            return temperature * (0.8 + 0.2 * (1.0 - std::cos(cx::pi / 2.0 * (k + 1) / n)));
        case TemperatureSchedule::linear:
            return 0.85 + (temperature - 0.85) * k / n;
        default:
            return temperature;
    }
}

/// How many of L tokens stay hidden after autoregressive step k of n: ⌊L·cos(π/2·(k + 1)/n)⌋, evaluated from left to
/// right in double, as the published counts were.
[[nodiscard]] inline Index hidden_after(Index tokens, int k, int n) {
    return k + 1 == n ? 0 : static_cast<Index>(static_cast<double>(tokens) * std::cos(cx::pi / 2.0 * (k + 1) / n));
}

}  // namespace flowfar
