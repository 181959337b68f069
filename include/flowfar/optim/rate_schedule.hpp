#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "flowfar/core/error.hpp"

namespace flowfar {

/// What the learning rate does after the warm-up.
enum class RateDecay : std::uint8_t { constant, cosine };

/// Learning-rate factor by step: linear from 1/warmup over `warmup` steps, then constant or a half cosine that reaches
/// `final_rate` at `total` steps.
///
///     const RateSchedule rate{.warmup = 100, .decay = RateDecay::cosine, .total = 10000};
///     adam.step(rate(step));
struct RateSchedule {
    std::int64_t warmup = 0;
    RateDecay decay = RateDecay::constant;
    std::int64_t total = 0;
    double final_rate = 0.0;

    /// The factor for step 0, 1, …
    [[nodiscard]] double operator()(std::int64_t step) const {
        if (step < warmup) {
            return static_cast<double>(step + 1) / static_cast<double>(warmup);
        }
        if (decay == RateDecay::constant) {
            return 1.0;
        }
        require(total > warmup, "RateSchedule: a cosine needs more steps in total than for the warm-up");
        const double done = static_cast<double>(step - warmup) / static_cast<double>(total - warmup);
        constexpr double pi = 3.14159265358979323846;
        return final_rate + (1.0 - final_rate) * 0.5 * (1.0 + std::cos(pi * std::min(done, 1.0)));
    }
};

}  // namespace flowfar
