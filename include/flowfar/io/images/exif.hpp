#pragma once

/// The EXIF orientation tag: finding it, and turning an image the way it asks.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "flowfar/core/error.hpp"
#include "flowfar/core/images/image.hpp"

namespace flowfar::io {

namespace detail {

inline constexpr std::array<char, 6> exif_signature{'E', 'x', 'i', 'f', '\0', '\0'};

/// Whether an APP1 payload is EXIF (it may also be XMP).
inline bool is_exif(std::span<const std::byte> payload) {
    return payload.size() >= exif_signature.size() &&
           std::equal(exif_signature.begin(), exif_signature.end(), payload.begin(),
                      [](char expected, std::byte found) { return static_cast<std::byte>(expected) == found; });
}

/// Bounds-checked numbers of a TIFF structure in its own byte order; 0 outside.
struct TiffReader {
    std::span<const std::byte> bytes;
    bool big_endian;

    [[nodiscard]] std::uint32_t number(std::uint64_t offset, unsigned size) const {
        if (offset > bytes.size() || size > bytes.size() - offset) {
            return 0;
        }
        std::uint32_t value = 0;
        for (unsigned i = 0; i < size; ++i) {
            const unsigned shift = 8 * (big_endian ? size - 1 - i : i);
            value |= std::to_integer<std::uint32_t>(bytes[offset + i]) << shift;
        }
        return value;
    }
};

}  // namespace detail

/// How a picture comes out of a file: turned upright as its EXIF orientation asks, or as its pixels are stored, which
/// is how Pillow and with it the papers' evaluators read.
enum class Orientation : std::uint8_t { upright, stored };

/// The orientation 1..8 that EXIF data ask for, with or without the signature that JPEG puts before them; 1 (leave as
/// is) if it is absent or malformed, because a damaged remark must not make a readable image unreadable.
[[nodiscard]] inline int exif_orientation(std::span<const std::byte> payload) {
    const auto tiff = detail::is_exif(payload) ? payload.subspan(detail::exif_signature.size()) : payload;
    if (tiff.size() < 8 || tiff[0] != tiff[1] || (tiff[0] != std::byte{'I'} && tiff[0] != std::byte{'M'})) {
        return 1;
    }
    const detail::TiffReader reader{tiff, tiff[0] == std::byte{'M'}};
    constexpr std::uint32_t tiff_magic = 42;
    constexpr std::uint32_t orientation_tag = 0x0112;
    if (reader.number(2, 2) != tiff_magic) {
        return 1;
    }
    const std::uint64_t directory = reader.number(4, 4);
    const std::uint32_t count = reader.number(directory, 2);
    for (std::uint64_t i = 0; i < count; ++i) {
        const std::uint64_t entry = directory + 2 + 12 * i;
        if (reader.number(entry, 2) == orientation_tag) {
            // BYTE, SHORT as the standard says, or LONG as some programs write
            const std::uint32_t type = reader.number(entry + 2, 2);
            const unsigned size = type == 1 ? 1 : type == 3 ? 2 : type == 4 ? 4 : 0;
            const std::uint32_t value = size == 0 ? 0 : reader.number(entry + 8, size);
            const bool valid = reader.number(entry + 4, 4) == 1 && value >= 1 && value <= 8;
            return valid ? static_cast<int>(value) : 1;
        }
    }
    return 1;
}

/// Turns a stored image upright. Orientation names where the stored first row and first column belong: 1 top left,
/// 2 top right (mirrored), 3 bottom right (half turn), 4 bottom left (flipped), 5 left top (transposed), 6 right top
/// (quarter turn clockwise), 7 right bottom (anti-transposed), 8 left bottom (quarter turn anticlockwise).
[[nodiscard]] inline Image apply_orientation(Image image, int orientation) {
    require(orientation >= 1 && orientation <= 8, "orientation: expected 1..8, found ", orientation);
    if (orientation == 1) {
        return image;
    }
    const bool transposed = orientation >= 5;
    // Reading direction in the stored image: from its right end, from its bottom end.
    const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
    const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
    Image out = transposed ? make_image(image.width, image.height) : make_image(image.height, image.width);
    std::uint8_t* target = out.pixels.data();
    for (int y = 0; y < out.height; ++y) {
        for (int x = 0; x < out.width; ++x) {
            const int row = transposed ? x : y;
            const int column = transposed ? y : x;
            const int stored_row = from_bottom ? image.height - 1 - row : row;
            const int stored_column = from_right ? image.width - 1 - column : column;
            const std::size_t offset = (static_cast<std::size_t>(stored_row) * static_cast<std::size_t>(image.width) +
                                        static_cast<std::size_t>(stored_column)) *
                                       3;
            target = std::copy_n(image.pixels.begin() + static_cast<std::ptrdiff_t>(offset), 3, target);
        }
    }
    return out;
}

}  // namespace flowfar::io
