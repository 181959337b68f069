#pragma once

// A stand-in for CIFAR-10 where it is not at hand: ten classes of 32 x 32 pictures, drawn by formulas. Networks learn
// it within seconds; it says nothing about photos.

#include <cmath>
#include <filesystem>
#include <flowfar/io.hpp>
#include <flowfar/tensor.hpp>
#include <string>

/// Waves of ten directions and colors with random phases and noise.
inline flowfar::Image draw_picture(int kind, flowfar::Random& random) {
    flowfar::Image image = flowfar::make_image(32, 32);
    const double phase = 6.28 * random.uniform();
    for (int y = 0; y < 32; ++y) {
        for (int x = 0; x < 32; ++x) {
            const double wave = std::sin(0.6 * (std::cos(kind * 0.628) * x + std::sin(kind * 0.628) * y) + phase);
            for (int c = 0; c < 3; ++c) {
                const double value = 128 + 70 * wave * std::cos(kind + 2.1 * c) + 20 * random.normal();
                image.pixels[static_cast<std::size_t>((y * 32 + x) * 3 + c)] =
                    static_cast<std::uint8_t>(std::fmin(std::fmax(value, 0.0), 255.0));
            }
        }
    }
    return image;
}

/// Writes `count` pictures of each class into one folder per class.
inline void write_pictures(const std::filesystem::path& folder, int count) {
    flowfar::Random random(1);
    for (int kind = 0; kind < 10; ++kind) {
        const std::filesystem::path place = folder / std::to_string(kind);
        std::filesystem::create_directories(place);
        for (int i = 0; i < count; ++i) {
            flowfar::io::write_image(place / (std::to_string(i) + ".png"), draw_picture(kind, random));
        }
    }
}
