#pragma once

/// The closed formula that replaced weights, inputs and random draws when the files in tests/golden were recorded:
/// float32(base + scale (2u - 1)) with u in [0, 1) from splitmix64, seeded by the FNV-1a hash of the tensor's name.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace flowfar::testing {

/// What the recorded case at hand puts behind every name before it is hashed; `Golden::find` sets it from the file.
inline std::string& fill_suffix() {
    static std::string suffix;
    return suffix;
}

/// The seed of the tensor called `name`.
[[nodiscard]] inline std::uint64_t fill_seed(std::string_view name) {
    std::uint64_t seed = 0xCBF29CE484222325U;
    for (const std::string_view part : {name, std::string_view(fill_suffix())}) {
        for (const char letter : part) {
            seed = (seed ^ static_cast<unsigned char>(letter)) * 0x100000001B3U;
        }
    }
    return seed;
}

/// The number u in [0, 1) of element `index` of the tensor with this seed: a multiple of 2^-24.
[[nodiscard]] inline double fill_unit(std::uint64_t seed, std::uint64_t index) {
    std::uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    z ^= z >> 31;
    return static_cast<double>(z >> 40) * 0x1p-24;
}
[[nodiscard]] inline double fill_unit(std::string_view name, std::uint64_t index) {
    return fill_unit(fill_seed(name), index);
}

/// Elements [first, first + out.size()) of the tensor with this seed.
inline void fill_range(std::uint64_t seed, std::uint64_t first, std::span<float> out, double base, double scale) {
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = static_cast<float>(base + scale * (2 * fill_unit(seed, first + i) - 1));
    }
}

/// `count` elements of the tensor called `name`.
[[nodiscard]] inline std::vector<float> fill(std::string_view name, std::size_t count, double base = 0,
                                             double scale = 1) {
    std::vector<float> out(count);
    fill_range(fill_seed(name), 0, out, base, scale);
    return out;
}

}  // namespace flowfar::testing
