#pragma once

/// Synthetic photos for tests of the programs.

#include <cmath>
#include <filesystem>
#include <string>

#include "flowfar/core/philox.hpp"
#include "flowfar/io/images/image.hpp"

namespace flowfar::testing {

/// A colored wave with noise; every number gives another picture.
inline Image wave_image(int height, int width, std::uint64_t number) {
    Image image = make_image(height, width);
    const auto value = [&](const char* what) { return static_cast<double>(fold(number, what) >> 40) / 16777216.0; };
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
            for (int c = 0; c < 3; ++c) {
                const auto at = static_cast<std::size_t>((y * width + x) * 3 + c);
                const double phase = 6.3 * (value("a") * x / 9 + value("b") * y / 9 + value("c") * c);
                const double noise = static_cast<double>(fold(number, at) >> 56) / 16;
                image.pixels[at] = static_cast<std::uint8_t>(120 + 100 * std::sin(phase) + noise);
            }
        }
    }
    return image;
}

/// `count` photos in two class folders, and one file that is none.
inline void write_photos(const std::filesystem::path& folder, int count) {
    for (int i = 0; i < count; ++i) {
        const auto place = folder / (i % 2 == 0 ? "even" : "odd");
        std::filesystem::create_directories(place);
        io::write_png(place / (std::to_string(i) + ".png"), wave_image(20 + i % 3, 24, static_cast<std::uint64_t>(i)));
    }
    io::write_atomically(folder / "even/broken.png", std::as_bytes(std::span("no picture", 10)));
}

}  // namespace flowfar::testing
