#pragma once

/// The 8-bit RGB image that readers give, models take and writers store, and the limits on its size.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "flowfar/core/error.hpp"

namespace flowfar {

/// height × width pixels, row-major, red, green and blue interleaved: pixels[(y * width + x) * 3 + channel].
///
///     const Image photo = io::read_image("photo.jpg", {.size = 256});
struct Image {
    int height = 0;
    int width = 0;
    std::vector<std::uint8_t> pixels;

    friend bool operator==(const Image&, const Image&) = default;
};

inline constexpr int max_image_extent = 65535;
inline constexpr std::uint64_t max_image_pixels = std::uint64_t{1} << 28;

/// Throws `Error` unless 1 <= height, width <= 65535 and height * width <= 2^28.
inline void check_image_size(std::uint64_t height, std::uint64_t width, std::string_view what) {
    const std::uint64_t limit = max_image_extent;
    require(height >= 1 && width >= 1 && height <= limit && width <= limit && height * width <= max_image_pixels, what,
            ": image of ", height, " x ", width, " pixels, expected at most ", limit, " a side and ", max_image_pixels,
            " in all");
}

/// Throws `Error` unless the extents are acceptable and `pixels` has exactly the size they ask for.
inline void check_image(const Image& image, std::string_view what) {
    require(image.height > 0 && image.width > 0, what, ": image of ", image.height, " x ", image.width, " pixels");
    const auto height = static_cast<std::size_t>(image.height);
    const auto width = static_cast<std::size_t>(image.width);
    check_image_size(height, width, what);
    require(image.pixels.size() == height * width * 3, what, ": expected ", height * width * 3, " bytes for ", height,
            " x ", width, " RGB pixels, found ", image.pixels.size());
}

/// A black image.
[[nodiscard]] inline Image make_image(int height, int width) {
    require(height > 0 && width > 0, "image of ", height, " x ", width, " pixels");
    check_image_size(static_cast<std::uint64_t>(height), static_cast<std::uint64_t>(width), "new image");
    return {height, width,
            std::vector<std::uint8_t>(static_cast<std::size_t>(height) * static_cast<std::size_t>(width) * 3)};
}

}  // namespace flowfar
