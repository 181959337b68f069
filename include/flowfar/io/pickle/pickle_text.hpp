#pragma once

/// The two ways in which pickles of protocol 0 escape text.

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "flowfar/core/error.hpp"

namespace flowfar::io::detail {

/// Appends a code point as UTF-8.
inline void append_utf8(std::string& out, std::uint32_t point) {
    const auto put = [&](std::uint32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
    if (point < 0x80) {
        put(point);
    } else if (point < 0x800) {
        put(0xC0U | (point >> 6));
        put(0x80U | (point & 0x3FU));
    } else if (point < 0x10000) {
        put(0xE0U | (point >> 12));
        put(0x80U | ((point >> 6) & 0x3FU));
        put(0x80U | (point & 0x3FU));
    } else {
        put(0xF0U | (point >> 18));
        put(0x80U | ((point >> 12) & 0x3FU));
        put(0x80U | ((point >> 6) & 0x3FU));
        put(0x80U | (point & 0x3FU));
    }
}

/// The number that `digits` hexadecimal digits at `begin` spell.
inline std::uint32_t hexadecimal(std::string_view line, std::size_t begin, std::size_t digits, std::string_view label) {
    std::uint32_t value = 0;
    const char* const first = line.data() + begin;
    const bool enough = begin + digits <= line.size();
    const auto result = enough ? std::from_chars(first, first + digits, value, 16) : std::from_chars_result{};
    require(enough && result.ptr == first + digits && value <= 0x10FFFF, label,
            ": damaged pickle: an escape sequence that is not a character");
    return value;
}

/// Python's raw-unicode-escape: Latin-1 with \uXXXX and \UXXXXXXXX.
inline std::string unescape_unicode(std::string_view line, std::string_view label) {
    std::string out;
    for (std::size_t i = 0; i < line.size();) {
        const bool escape = line[i] == '\\' && i + 1 < line.size() && (line[i + 1] == 'u' || line[i + 1] == 'U');
        const std::size_t digits = !escape ? 0 : line[i + 1] == 'u' ? 4 : 8;
        append_utf8(out, escape ? hexadecimal(line, i + 2, digits, label) : static_cast<unsigned char>(line[i]));
        i += escape ? 2 + digits : 1;
    }
    return out;
}

/// A Python 2 string literal with its quotes.
inline std::string unescape_quoted(std::string_view line, std::string_view label) {
    require(line.size() >= 2 && line.front() == line.back() && (line.front() == '\'' || line.front() == '"'), label,
            ": damaged pickle: a string without quotes");
    line = line.substr(1, line.size() - 2);
    std::string out;
    for (std::size_t i = 0; i < line.size(); ++i) {
        if (line[i] != '\\') {
            out += line[i];
            continue;
        }
        require(++i < line.size(), label, ": damaged pickle: a string ends inside an escape sequence");
        constexpr std::string_view plain = "\\'\"abfnrtv";
        constexpr std::string_view meaning = "\\'\"\a\b\f\n\r\t\v";
        if (const std::size_t known = plain.find(line[i]); known != plain.npos) {
            out += meaning[known];
        } else if (line[i] == 'x') {
            out += static_cast<char>(static_cast<unsigned char>(hexadecimal(line, i + 1, 2, label)));
            i += 2;
        } else {
            out += '\\';
            out += line[i];
        }
    }
    return out;
}

}  // namespace flowfar::io::detail
