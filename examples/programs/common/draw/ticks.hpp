#pragma once

// Axes of a chart: the mapping from values to 0…1, ticks at round values, and their labels.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "flowfar/core/error.hpp"

namespace flowfar::program {

/// Maps [low, high] to [0, 1], linearly or by logarithm.
struct Scale {
    double low = 0, high = 1;
    bool log = false;

    /// Whether the scale has a place for `value`; NaN, infinities and, on a log scale, values ≤ 0 have none.
    [[nodiscard]] bool takes(double value) const { return std::isfinite(value) && (!log || value > 0); }
    /// 0 at low, 1 at high, beyond that outside. `value` must be one that the scale takes.
    [[nodiscard]] double place(double value) const {
        return log ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
    }
};

struct Tick {
    double value = 0;
    std::string label = {};     // empty for a minor tick
    std::string exponent = {};  // to be set raised after the label: "10" and "-3"
};

/// The step 1, 2 or 5 · 10^k that cuts `span` > 0 into at most `most` parts.
[[nodiscard]] inline double nice_step(double span, int most) {
    const double rough = span / std::max(most, 1);
    const double power = std::pow(10.0, std::floor(std::log10(rough)));
    for (const double digit : {1.0, 2.0, 5.0}) {
        if (digit * power >= rough * (1 - 1e-9)) {
            return digit * power;
        }
    }
    return 10 * power;
}

/// A tick's label with as many decimals as its step needs; "20k" and "1.5M" where all the axis is large.
[[nodiscard]] inline std::string tick_label(double value, double step, double largest) {
    char buffer[40];
    if (largest >= 1e9 || (largest > 0 && step < 1e-6)) {
        std::snprintf(buffer, sizeof buffer, "%g", std::abs(value) < step / 2 ? 0.0 : value);
        return buffer;
    }
    const char* unit = "";
    if (largest >= 1e6 && step >= 1e4) {
        value /= 1e6, step /= 1e6, unit = "M";
    } else if (largest >= 1e4 && step >= 100) {
        value /= 1e3, step /= 1e3, unit = "k";
    }
    const int decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
    if (std::abs(value) < step / 2) {
        return "0";  // never "-0.0"
    }
    std::snprintf(buffer, sizeof buffer, "%.*f%s", decimals, value, unit);
    return buffer;
}

/// Ticks on multiples of nice_step within [low, high], ends included.
[[nodiscard]] inline std::vector<Tick> linear_ticks(double low, double high, int most) {
    require(std::isfinite(low) && std::isfinite(high) && low < high, "ticks: expected a range, found ", low, " to ",
            high);
    const double step = nice_step(high - low, most);
    const double largest = std::max(std::abs(low), std::abs(high));
    std::vector<Tick> ticks;
    const double slack = 1e-9 * (high - low);
    for (double i = std::ceil((low - slack) / step); i * step <= high + slack && ticks.size() < 1000; ++i) {
        ticks.push_back({i * step, tick_label(i * step, step, largest), {}});
    }
    return ticks;
}

/// Ticks of a log axis within [low, high], 0 < low < high. Two decades or more: labels at powers of ten (at every n-th
/// where there are more than `most`), minor ticks between. Less: labels at 1, 2 and 5 times a power; less than one
/// decade: at 1 to 9 times; less than a factor of five: the linear ticks.
[[nodiscard]] inline std::vector<Tick> log_ticks(double low, double high, int most) {
    require(low > 0 && std::isfinite(high) && low < high, "ticks: expected a positive range, found ", low, " to ",
            high);
    if (high / low < 5) {
        return linear_ticks(low, high, most);
    }
    const bool decades_only = high / low >= 100;
    const int first = static_cast<int>(std::floor(std::log10(low) + 1e-9));
    const int last = static_cast<int>(std::floor(std::log10(high) + 1e-9));
    const int every = std::max(1, (last - first + std::max(most, 1) - 1) / std::max(most, 1));
    std::vector<Tick> ticks;
    for (int power = first; power <= last; ++power) {
        for (int digit = 1; digit <= 9; ++digit) {
            const double value = digit * std::pow(10.0, power);
            if (value < low * (1 - 1e-9) || value > high * (1 + 1e-9) || (every > 1 && digit > 1)) {
                continue;
            }
            Tick tick{value, {}, {}};
            if (decades_only && digit == 1 && (power - first) % every == 0) {
                tick.label = power == 0 ? "1" : "10";
                tick.exponent = power == 0 || power == 1 ? "" : std::to_string(power);
            } else if (!decades_only && (high / low < 10 || digit == 1 || digit == 2 || digit == 5)) {
                tick.label = tick_label(value, std::pow(10.0, power), high);
            }
            ticks.push_back(std::move(tick));
        }
    }
    return ticks;
}

/// The scale that shows all `values` it takes, with a margin of 4 percent on either side; [0, 1] or [0.1, 1] if none.
[[nodiscard]] inline Scale fitting_scale(const std::vector<double>& values, bool log) {
    Scale scale{log ? 0.1 : 0.0, 1, log};
    bool any = false;
    for (const double value : values) {
        if (scale.takes(value)) {
            scale.low = any ? std::min(scale.low, value) : value;
            scale.high = any ? std::max(scale.high, value) : value;
            any = true;
        }
    }
    if (!any) {
        return scale;
    }
    if (log) {
        const double margin = scale.high > scale.low ? std::pow(scale.high / scale.low, 0.04) : 1.5;
        scale.low /= margin;
        scale.high *= margin;
    } else {
        const double span = scale.high - scale.low;
        const double least = 1e-9 * std::max(std::abs(scale.low), std::abs(scale.high));
        const double margin = span > least ? 0.04 * span : std::max(0.05 * std::abs(scale.high), 1e-3);
        scale.low -= margin;
        scale.high += margin;
    }
    return scale;
}

}  // namespace flowfar::program
