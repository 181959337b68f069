#pragma once

/// Reads and writes PNG and JPEG images. The format of input is told by its first bytes, never by the file's name.

#include <algorithm>
#include <array>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/core/images/image_tensor.hpp"
#include "flowfar/io/bytes/file.hpp"
#include "flowfar/io/bytes/file_kind.hpp"
#include "flowfar/io/images/exif.hpp"
#include "flowfar/io/images/image_transform.hpp"
#include "flowfar/io/images/jpeg.hpp"
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
[[nodiscard]] inline Image decode_image(std::span<const std::byte> bytes, const std::string& name,
                                        Orientation orientation = Orientation::upright) {
    constexpr std::array<std::uint8_t, 8> png_magic{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    constexpr std::array<std::uint8_t, 3> jpeg_magic{0xFF, 0xD8, 0xFF};
    if (detail::starts_with_bytes(bytes, png_magic)) {
        return decode_png(bytes, name, orientation);
    }
    require(detail::starts_with_bytes(bytes, jpeg_magic), name, ": expected a PNG or JPEG image", found_kind(bytes));
    return decode_jpeg(bytes, name, orientation);
}

/// How a file becomes an image.
struct ReadImageOptions {
    /// Above 0: the short side is resized to `size` pixels and the middle `size` × `size` are kept, as models expect.
    /// 0 keeps the picture as it is.
    int size = 0;
    Filter filter = Filter::bilinear;  ///< of the resizing
    Orientation orientation = Orientation::upright;
};

/// Reads a PNG or JPEG file: `read_image("photo.jpg", {.size = 256})`. Throws `Error` that names it.
[[nodiscard]] inline Image read_image(const Path& path, const ReadImageOptions& options = {}) {
    require(options.size >= 0, path.string(), ": expected a size of at least 0, found ", options.size);
    const MappedFile file(path);
    Image image = decode_image(file.bytes(), path.string(), options.orientation);
    if (options.size == 0) {
        return image;
    }
    return center_crop(resize_short_side(image, options.size, options.filter), options.size, options.size);
}

/// Writes 8-bit RGB, atomically.
inline void write_png(const Path& path, const Image& image) {
    write_atomically(path, encode_png(image));
}

/// Writes baseline JPEG, atomically; `quality`: 1..100.
inline void write_jpeg(const Path& path, const Image& image, int quality) {
    write_atomically(path, encode_jpeg(image, quality));
}

/// How `write_image` stores an image.
struct WriteImageOptions {
    int quality = 95;  ///< of a JPEG, 1 to 100
};

/// Writes an image in the format that the file's name ends in: .png, .jpg or .jpeg. Throws `Error` for any other ending
/// before it touches the file.
inline void write_image(const Path& path, const Image& image, const WriteImageOptions& options = {}) {
    std::string ending = path.extension().string();
    std::ranges::transform(ending, ending.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    if (ending == ".png") {
        write_png(path, image);
        return;
    }
    require(ending == ".jpg" || ending == ".jpeg", path.string(), ": expected a name that ends in .png, .jpg or .jpeg",
            ending.empty() ? "" : ", found ", ending);
    write_jpeg(path, image, options.quality);
}
/// Writes a batch of images [n, 3, height, width] in [−1, 1], as models give them, side by side in one picture.
template <AnyTensor Batch>
void write_image(const Path& path, const Batch& images, const WriteImageOptions& options = {}) {
    write_image(path, beside(to_images(images)), options);
}

}  // namespace flowfar::io
