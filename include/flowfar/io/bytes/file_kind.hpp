#pragma once

/// Names what a file is that was taken for something else, and what to do about it.

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace flowfar::io {

/// Recognizes by their first bytes what downloads and habits put in a file's place: "a WebP image: convert it to PNG or
/// JPEG". Empty for what it does not know.
[[nodiscard]] inline std::string file_kind(std::span<const std::byte> bytes) {
    if (bytes.empty()) {
        return "an empty file";
    }
    const std::string_view head(reinterpret_cast<const char*>(bytes.data()), std::min<std::size_t>(bytes.size(), 512));
    const auto at = [&](std::size_t offset, std::string_view magic) {
        return head.size() >= offset + magic.size() && head.substr(offset, magic.size()) == magic;
    };
    if (at(0, "version https://git-lfs")) {
        return "a Git-LFS pointer: get the file itself with \"git lfs pull\"";
    }
    if (at(0, "\x1F\x8B")) {
        return "gzip-compressed data: unpack it with gunzip first";
    }
    if (at(0, std::string_view("\xFD"
                               "7zXZ\0",
                               6))) {
        return "xz-compressed data: unpack it with unxz first";
    }
    if (at(0, "\x28\xB5\x2F\xFD")) {
        return "zstd-compressed data: unpack it with unzstd first";
    }
    if (at(0, "BZh")) {
        return "bzip2-compressed data: unpack it with bunzip2 first";
    }
    if (at(0, "PK\x03\x04") || at(0, "PK\x05\x06")) {
        return "a zip archive: unpack it first";
    }
    if (at(0, "7z\xBC\xAF\x27\x1C")) {
        return "a 7z archive: unpack it first";
    }
    if (at(257, "ustar")) {
        return "a tar archive";
    }
    if (at(0, "\x89PNG\r\n\x1A\n")) {
        return "a PNG image";
    }
    if (at(0, "\xFF\xD8\xFF")) {
        return "a JPEG image";
    }
    constexpr std::string_view convert = "convert it to PNG or JPEG";
    const auto image = [&](std::string_view kind) { return std::string(kind) + " image: " + std::string(convert); };
    if (at(0, "RIFF") && at(8, "WEBP")) {
        return image("a WebP");
    }
    if (at(0, "GIF8")) {
        return image("a GIF");
    }
    if (at(4, "ftypavif") || at(4, "ftypavis")) {
        return image("an AVIF");
    }
    if (at(4, "ftyphei") || at(4, "ftyphev") || at(4, "ftypmif1") || at(4, "ftypmsf1")) {
        return image("a HEIF");
    }
    if (at(0, std::string_view("II*\0", 4)) || at(0, std::string_view("MM\0*", 4))) {
        return image("a TIFF");
    }
    if (at(0, std::string_view("\0\0\0\x0CJXL ", 8)) || at(0, "\xFF\x0A")) {
        return image("a JPEG XL");
    }
    if (at(0, std::string_view("\0\0\0\x0CjP  ", 8))) {
        return image("a JPEG 2000");
    }
    if (at(0, "\x76\x2F\x31\x01")) {
        return image("an OpenEXR");
    }
    if (at(0, "BM") && bytes.size() > 26) {
        return image("a BMP");
    }
    if (at(0, "P1") || at(0, "P2") || at(0, "P3") || at(0, "P4") || at(0, "P5") || at(0, "P6")) {
        if (head.size() > 2 && (head[2] == '\n' || head[2] == ' ' || head[2] == '\r' || head[2] == '#')) {
            return image("a PNM");
        }
    }
    if (at(0, "%PDF")) {
        return "a PDF document";
    }
    if (at(0, "GGUF")) {
        return "a GGUF model: use the safetensors or PyTorch file that it was made of";
    }
    if (at(0, "\x89HDF\r\n\x1A\n")) {
        return "an HDF5 file, as Keras writes";
    }
    if (at(0, "\x93NUMPY")) {
        return "a NumPy array (.npy)";
    }
    if (head.size() > 2 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5) {
        return "a Python pickle that torch.save did not write: load it in Python and save a state_dict with torch.save";
    }
    std::string_view text = head;
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n\xEF\xBB\xBF"), text.size()));
    std::string lower(text.substr(0, 256));
    std::ranges::transform(lower, lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
    if (lower.starts_with("<!doctype html") || lower.starts_with("<html") || lower.starts_with("<head")) {
        return "an HTML page, perhaps an error or a login in the place of a download";
    }
    if (lower.starts_with("<svg") || (lower.starts_with("<?xml") && lower.find("<svg") != lower.npos)) {
        return image("an SVG");
    }
    if (lower.starts_with("<?xml") || lower.starts_with("<error")) {
        return "an XML text, perhaps an error in the place of a download";
    }
    return {};
}

/// ", found a WebP image: …", for the end of a message; nothing for what is not known.
[[nodiscard]] inline std::string found_kind(std::span<const std::byte> bytes) {
    const std::string kind = file_kind(bytes);
    return kind.empty() ? kind : ", found " + kind;
}

}  // namespace flowfar::io
