#pragma once

/// The correlated feature rows behind the numbers that the metrics' tests have on record.

#include <cstddef>
#include <string_view>
#include <vector>

#include "fill.hpp"

namespace flowfar::testing {

/// Rows [count, width]: f = fill(name), x[i, j] = float32(offset + (j mod 5) / 8 + (1 + j / width) f[i, j] +
/// f[i, (j + 1) mod width] / 2).
[[nodiscard]] inline std::vector<float> feature_rows(std::string_view name, std::size_t count, std::size_t width,
                                                     double offset = 0) {
    const std::vector<float> f = fill(name, count * width);
    std::vector<float> out(count * width);
    for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = 0; j < width; ++j) {
            const double own = static_cast<double>(f[i * width + j]);
            const double next = static_cast<double>(f[i * width + (j + 1) % width]);
            const double gain = 1 + static_cast<double>(j) / static_cast<double>(width);
            out[i * width + j] =
                static_cast<float>(offset + 0.125 * static_cast<double>(j % 5) + gain * own + 0.5 * next);
        }
    }
    return out;
}

}  // namespace flowfar::testing
