#pragma once

// Names of any bytes in files that must be UTF-8: JSON and the metadata of models.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace flowfar::program {

/// Whether the bytes are UTF-8, without overlong forms and surrogates.
[[nodiscard]] inline bool is_utf8(std::string_view bytes) {
    const auto at = [&](std::size_t i) { return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0U; };
    for (std::size_t i = 0; i < bytes.size();) {
        const unsigned lead = at(i);
        const std::size_t more = lead < 0x80 ? 0 : lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
        const bool leads = lead < 0x80 || (lead >= 0xC2 && lead <= 0xF4);
        const unsigned least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
        const unsigned most = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
        if (!leads || (more > 0 && (at(i + 1) < least || at(i + 1) > most))) {
            return false;
        }
        for (std::size_t k = 2; k <= more; ++k) {
            if ((at(i + k) & 0xC0U) != 0x80U) {
                return false;
            }
        }
        i += more + 1;
    }
    return true;
}

/// One line of UTF-8 from which `unescaped` makes the same bytes again: \\ for a backslash, \n for a line break, \xE9
/// for what is not UTF-8.
[[nodiscard]] inline std::string escaped(std::string_view bytes) {
    const bool readable = is_utf8(bytes);
    std::string out;
    for (const char byte : bytes) {
        const auto value = static_cast<unsigned char>(byte);
        if (byte == '\\') {
            out += "\\\\";
        } else if (byte == '\n') {
            out += "\\n";
        } else if (value < 0x80 || readable) {
            out += byte;
        } else {
            constexpr std::string_view digits = "0123456789ABCDEF";
            out += {'\\', 'x', digits[value >> 4U], digits[value & 15U]};
        }
    }
    return out;
}

[[nodiscard]] inline std::string unescaped(std::string_view line) {
    const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; };
    std::string out;
    for (std::size_t i = 0; i < line.size(); ++i) {
        const char next = line[i] == '\\' && i + 1 < line.size() ? line[i + 1] : '\0';
        if (next == '\\' || next == 'n') {
            out += next == 'n' ? '\n' : '\\';
            ++i;
        } else if (next == 'x' && i + 3 < line.size() && digit(line[i + 2]) >= 0 && digit(line[i + 3]) >= 0) {
            out += static_cast<char>(digit(line[i + 2]) * 16 + digit(line[i + 3]));
            i += 3;
        } else {
            out += line[i];
        }
    }
    return out;
}

/// Names, one a line.
[[nodiscard]] inline std::string escaped_lines(const std::vector<std::string>& names) {
    std::string out;
    for (std::size_t i = 0; i < names.size(); ++i) {
        out += (i == 0 ? "" : "\n") + escaped(names[i]);
    }
    return out;
}
[[nodiscard]] inline std::vector<std::string> unescaped_lines(std::string_view lines) {
    std::vector<std::string> names;
    while (!lines.empty()) {
        const std::string_view line = lines.substr(0, lines.find('\n'));
        names.push_back(unescaped(line));
        lines.remove_prefix(line.size() < lines.size() ? line.size() + 1 : line.size());
    }
    return names;
}

}  // namespace flowfar::program
