#pragma once

// Text from files that nobody vouches for, made fit for a terminal.

#include <cstddef>
#include <string>
#include <string_view>

namespace flowfar::program {

enum class LineBreaks {
    replaced,  // in names
    indented   // in messages: what follows a line break is indented, so that no name can pose as another message
};

namespace detail {

struct CodePoint {
    char32_t value;
    std::size_t length;  // bytes
};

/// The first character of `utf8`; a byte that belongs to none stands for itself, as in Latin-1. Forms that are longer
/// than they need to be are taken, so that they hide nothing.
[[nodiscard]] inline CodePoint first_code_point(std::string_view utf8) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(utf8[i]); };
    const char32_t lead = byte(0);
    const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
    char32_t value = length == 1 ? lead : lead & (0x7FU >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if (i >= utf8.size() || (byte(i) & 0xC0U) != 0x80U) {
            return {lead, 1};
        }
        value = value << 6U | (byte(i) & 0x3FU);
    }
    return {value, length};
}

/// Control characters (C0, C1), breaks of lines and paragraphs, and what changes the direction of writing.
[[nodiscard]] constexpr bool steers(char32_t c) {
    return c < 0x20 || (c >= 0x7F && c <= 0x9F) || c == 0x061C || c == 0x200E || c == 0x200F ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

}  // namespace detail

/// The text with a question mark in place of each character that would steer a terminal.
[[nodiscard]] inline std::string printable(std::string_view utf8, LineBreaks breaks = LineBreaks::replaced) {
    std::string out;
    while (!utf8.empty()) {
        const auto [value, length] = detail::first_code_point(utf8);
        const std::string_view character = utf8.substr(0, length);
        utf8.remove_prefix(length);
        if (value == '\n' && length == 1 && breaks == LineBreaks::indented) {
            out += utf8.starts_with(' ') ? "\n" : "\n  ";
        } else {
            out += detail::steers(value) ? "?" : character;
        }
    }
    return out;
}

}  // namespace flowfar::program
