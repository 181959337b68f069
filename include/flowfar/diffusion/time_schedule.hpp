#pragma once

/// Times at which a rectified-flow sampler evaluates its network, and the interval of times in which it is guided.

#include <array>
#include <cstddef>
#include <limits>
#include <vector>

#include "flowfar/core/constexpr_math.hpp"
#include "flowfar/core/error.hpp"

namespace flowfar {

namespace detail {

/// t_i = ((steps - i) / steps)^(1 / power): 1 at i = 0, 0 at i = steps. A power below 1 makes steps smaller near t = 0.
[[nodiscard]] constexpr double shifted_time(int i, int steps, double power) {
    const double uniform = static_cast<double>(steps - i) / static_cast<double>(steps < 1 ? 1 : steps);
    return power == 1 ? uniform : cx::pow(uniform, 1 / power);
}

}  // namespace detail

/// The curve t = u^(1/P) over uniform u, with P = Numerator / Denominator.
template <int Numerator, int Denominator>
struct Power {
    static_assert(Numerator > 0 && Denominator > 0, "Power: numerator and denominator must be positive");
    static constexpr double value = static_cast<double>(Numerator) / static_cast<double>(Denominator);
};

/// Equal steps.
using EvenSteps = Power<1, 1>;

/// A sampler's times as a type: `ShiftedSteps<25, Power<1, 4>>::times[3]`. Euler's method goes from times[i] to
/// times[i + 1] for i = 0, ..., steps - 1.
template <int Steps, class Curve = EvenSteps>
struct ShiftedSteps {
    static_assert(Steps >= 1, "ShiftedSteps: at least one step is needed");

    static constexpr int steps = Steps;
    static constexpr double power = Curve::value;

    /// Decreasing from 1 to 0.
    static constexpr std::array<double, static_cast<std::size_t>(Steps < 1 ? 1 : Steps) + 1> times = [] {
        std::array<double, static_cast<std::size_t>(Steps < 1 ? 1 : Steps) + 1> out{};
        for (int i = 0; i <= Steps; ++i) {
            out[static_cast<std::size_t>(i)] = detail::shifted_time(i, Steps, power);
        }
        return out;
    }();

    /// times[i] - times[i + 1] > 0.
    [[nodiscard]] static constexpr double step(int i) {
        return times[static_cast<std::size_t>(i)] - times[static_cast<std::size_t>(i) + 1];
    }
};

/// The `steps + 1` times of `ShiftedSteps`, for a number of steps and a power P known at run time. Throws `Error` for
/// steps < 1 and for a power that is not positive and finite.
[[nodiscard]] inline std::vector<double> shifted_times(int steps, double power) {
    require(steps >= 1, "shifted_times: expected at least 1 step, found ", steps);
    require(power > 0 && power < cx::infinity, "shifted_times: expected a positive finite power, found ", power);
    std::vector<double> out;
    out.reserve(static_cast<std::size_t>(steps) + 1);
    for (int i = 0; i <= steps; ++i) {
        out.push_back(detail::shifted_time(i, steps, power));
    }
    return out;
}

/// A schedule whose number of steps and power are known at run time; `ShiftedSteps` converts to it.
class ShiftedSchedule {
   public:
    ShiftedSchedule(int steps, double power) : times_(shifted_times(steps, power)) {}

    template <int Steps, class Curve>
    ShiftedSchedule(ShiftedSteps<Steps, Curve> /*schedule*/)
        : times_(ShiftedSteps<Steps, Curve>::times.begin(), ShiftedSteps<Steps, Curve>::times.end()) {}

    [[nodiscard]] int steps() const { return static_cast<int>(times_.size()) - 1; }
    /// steps() + 1 times, decreasing from 1 to 0.
    [[nodiscard]] const std::vector<double>& times() const { return times_; }
    /// times()[i] - times()[i + 1] > 0.
    [[nodiscard]] double step(int i) const {
        require(i >= 0 && i < steps(), "ShiftedSchedule: step ", i, " of ", steps());
        return times_[static_cast<std::size_t>(i)] - times_[static_cast<std::size_t>(i) + 1];
    }

   private:
    std::vector<double> times_;
};

/// The closed interval of times in which classifier-free guidance acts (Kynkäänniemi et al., "Applying guidance in a
/// limited interval improves sample and distribution quality in diffusion models", 2024).
struct GuidanceInterval {
    double low = -std::numeric_limits<double>::infinity();
    double high = std::numeric_limits<double>::infinity();

    /// From noise levels sigma = t / (1 - t), as the literature gives them: t = sigma / (1 + sigma). Throws `Error`
    /// unless 0 <= low <= high.
    [[nodiscard]] static constexpr GuidanceInterval from_sigma(double low, double high) {
        if (!(low >= 0 && low <= high && high < cx::infinity)) {
            fail("GuidanceInterval::from_sigma: expected 0 <= low <= high, found ", low, " and ", high);
        }
        return {low / (1 + low), high / (1 + high)};
    }
    [[nodiscard]] static constexpr GuidanceInterval always() { return {}; }
    [[nodiscard]] constexpr bool contains(double t) const { return t >= low && t <= high; }
};

/// Throws `Error` unless the factor of classifier-free guidance is finite and the interval not reversed.
inline void check_guidance(double guidance, GuidanceInterval interval = {}) {
    require(guidance > -cx::infinity && guidance < cx::infinity, "guidance: expected a finite number, found ",
            guidance);
    require(interval.low <= interval.high, "guidance: expected an interval with low <= high, found ", interval.low,
            " and ", interval.high);
}

}  // namespace flowfar
