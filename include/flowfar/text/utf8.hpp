#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "flowfar/core/error.hpp"

namespace flowfar {

/// A character of a UTF-8 text. Where `valid` is false, `size` bytes begin no character: the longest part that could
/// have begun one (Unicode 14, section 3.9, table 3-7), at least one byte.
struct Utf8Character {
    char32_t value = 0xFFFD;
    std::size_t size = 1;
    bool valid = false;
};

/// The character at byte `at`, which must be less than the text's size.
[[nodiscard]] inline Utf8Character utf8_character(std::string_view text, std::size_t at) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
    const unsigned lead = byte(0);
    if (lead < 0x80) {
        return {lead, 1, true};
    }
    if (lead < 0xC2 || lead > 0xF4) {
        return {};
    }
    const std::size_t size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    char32_t value = lead & (0x7FU >> size);
    for (std::size_t i = 1; i < size; ++i) {
        // The second byte's range rules out overlong forms, surrogates, and what lies beyond U+10FFFF.
        const unsigned low = i > 1 ? 0x80U : lead == 0xE0 ? 0xA0U : lead == 0xF0 ? 0x90U : 0x80U;
        const unsigned high = i > 1 ? 0xBFU : lead == 0xED ? 0x9FU : lead == 0xF4 ? 0x8FU : 0xBFU;
        if (at + i >= text.size() || byte(i) < low || byte(i) > high) {
            return {0xFFFD, i, false};
        }
        value = value << 6 | (byte(i) & 0x3FU);
    }
    return {value, size, true};
}

inline void append_utf8(std::string& out, char32_t c) {
    const auto put = [&](char32_t bits) { out += static_cast<char>(static_cast<unsigned char>(bits)); };
    if (c < 0x80) {
        put(c);
    } else if (c < 0x800) {
        put(0xC0 | c >> 6);
        put(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        put(0xE0 | c >> 12);
        put(0x80 | (c >> 6 & 0x3F));
        put(0x80 | (c & 0x3F));
    } else {
        put(0xF0 | c >> 18);
        put(0x80 | (c >> 12 & 0x3F));
        put(0x80 | (c >> 6 & 0x3F));
        put(0x80 | (c & 0x3F));
    }
}

/// Throws `Error` if the text is not UTF-8. `where` begins the message.
inline void require_utf8(std::string_view characters, std::string_view where) {
    for (std::size_t i = 0; i < characters.size();) {
        const Utf8Character c = utf8_character(characters, i);
        require(c.valid, where, ": byte ", i, " of ", characters.size(), " is not UTF-8");
        i += c.size;
    }
}

/// The text with U+FFFD for every part that is not UTF-8.
[[nodiscard]] inline std::string repaired_utf8(std::string_view characters) {
    std::string out;
    out.reserve(characters.size());
    for (std::size_t i = 0; i < characters.size();) {
        const Utf8Character c = utf8_character(characters, i);
        append_utf8(out, c.value);
        i += c.size;
    }
    return out;
}

}  // namespace flowfar
