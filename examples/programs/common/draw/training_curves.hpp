#pragma once

// The curves of a training log as an image.

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "common/cli/jsonl.hpp"
#include "common/draw/plot.hpp"

namespace flowfar::program {

/// One number of a log over its steps: raw and smoothed if it comes from training, with markers if from validation.
struct LoggedCurve {
    std::string label;
    std::string key;
    bool validation = false;
    bool right = false;  // read on the right axis
};

/// `curves` over the steps of a log; those that the log lacks are left out. The left axis is logarithmic.
[[nodiscard]] inline Image training_curves(const std::filesystem::path& log, const std::string& title,
                                           const std::vector<LoggedCurve>& curves, const std::string& left,
                                           const std::string& right = {}) {
    const std::vector<Json> lines = read_jsonl(log);
    Plot plot;
    plot.title = title;
    plot.x.label = "step";
    plot.left = {.label = left, .log = true};
    for (const LoggedCurve& wanted : curves) {
        Curve curve = curve_of(lines, "step", wanted.key);
        if (curve.x.empty()) {
            continue;
        }
        if (wanted.right) {
            plot.right.label = right;
        }
        const double window = wanted.validation ? 0.0 : std::min(50.0, static_cast<double>(curve.x.size()) / 20);
        plot.series.push_back({.label = wanted.label,
                               .x = std::move(curve.x),
                               .y = std::move(curve.y),
                               .right = wanted.right,
                               .smoothing = window,
                               .markers = wanted.validation});
    }
    return render(plot);
}

}  // namespace flowfar::program
