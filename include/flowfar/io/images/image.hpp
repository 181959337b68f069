#pragma once

/// Reads and writes PNG and JPEG images. The format of input is told by its first bytes, never by the file's name.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/images/jpeg.hpp"
#include "flowfar/io/images/pixels.hpp"
#include "flowfar/io/images/png.hpp"

namespace flowfar::io {

namespace detail {

inline bool starts_with_bytes(std::span<const std::byte> bytes, std::span<const std::uint8_t> magic) {
    return bytes.size() >= magic.size() &&
           std::equal(magic.begin(), magic.end(), bytes.begin(),
                      [](std::uint8_t expected, std::byte found) { return std::byte{expected} == found; });
}

}  // namespace detail

/// Decodes PNG or JPEG data. Errors begin with `name`.
[[nodiscard]] inline Image decode_image(std::span<const std::byte> bytes, const std::string& name) {
    constexpr std::array<std::uint8_t, 8> png_magic{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    constexpr std::array<std::uint8_t, 3> jpeg_magic{0xFF, 0xD8, 0xFF};
    if (detail::starts_with_bytes(bytes, png_magic)) {
        return decode_png(bytes, name);
    }
    require(detail::starts_with_bytes(bytes, jpeg_magic), name, ": expected a PNG or JPEG image");
    return decode_jpeg(bytes, name);
}

/// Reads a PNG or JPEG file. Throws `Error` that names it.
[[nodiscard]] inline Image read_image(const Path& path) {
    const MappedFile file(path);
    return decode_image(file.bytes(), path.string());
}

/// Writes 8-bit RGB, atomically.
inline void write_png(const Path& path, const Image& image) {
    write_atomically(path, encode_png(image));
}

/// Writes baseline JPEG, atomically; `quality`: 1..100.
inline void write_jpeg(const Path& path, const Image& image, int quality) {
    write_atomically(path, encode_jpeg(image, quality));
}

}  // namespace flowfar::io
