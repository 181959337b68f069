#pragma once

/// Helpers that the tests of the input/output layer share.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/core/error.hpp"
#include "flowfar/core/images/image.hpp"

namespace flowfar::testing {

using Bytes = std::vector<std::byte>;

inline Bytes to_bytes(std::string_view characters) {
    const auto view = std::as_bytes(std::span(characters));
    return {view.begin(), view.end()};
}

/// Writes without any of the tested code.
inline void put_file(const std::filesystem::path& path, std::span<const std::byte> bytes) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    out.close();
    require(out.good(), path.string(), ": the test could not write its input");
}

inline void put_file(const std::filesystem::path& path, std::string_view characters) {
    put_file(path, std::as_bytes(std::span(characters)));
}

/// The message of the Error that `action` throws, or "no error". Other exceptions pass and fail the test.
template <class Action>
std::string error_text(Action&& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

inline bool contains(std::string_view text, std::string_view part) {
    return text.find(part) != text.npos;
}

/// A smooth image; neighboring pixels and channels differ, so that every mix-up shows.
inline Image gradient_image(int height, int width) {
    Image image = make_image(height, width);
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
            const auto at = static_cast<std::size_t>(y * width + x) * 3;
            image.pixels[at] = static_cast<std::uint8_t>(255 * y / height);
            image.pixels[at + 1] = static_cast<std::uint8_t>(255 * x / width);
            image.pixels[at + 2] = static_cast<std::uint8_t>(255 * (x + y) / (height + width));
        }
    }
    return image;
}

}  // namespace flowfar::testing
