#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "flowfar/text/utf8.hpp"

namespace flowfar {

/// How files of byte-level tokenizers write bytes as characters: bytes 33–126, 161–172 and 174–255 stand for
/// themselves, the other 68 are U+0100 … U+0143 in ascending order.
namespace byte_alphabet {

inline constexpr std::size_t size = 256;

[[nodiscard]] constexpr bool is_itself(unsigned byte) {
    return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
}

/// The byte of each character below U+0144, or −1.
inline constexpr auto byte_of_character = [] {
    std::array<int, 0x144> out{};
    out.fill(-1);
    std::size_t moved = 0x100;
    for (unsigned byte = 0; byte < size; ++byte) {
        out[is_itself(byte) ? byte : moved++] = static_cast<int>(byte);
    }
    return out;
}();

/// The bytes that a symbol of a file stands for; none if it has a character outside the alphabet.
[[nodiscard]] inline std::optional<std::string> bytes_of(std::string_view symbol) {
    std::string out;
    for (std::size_t i = 0; i < symbol.size();) {
        const Utf8Character c = utf8_character(symbol, i);
        if (!c.valid || c.value >= byte_of_character.size() || byte_of_character[c.value] < 0) {
            return std::nullopt;
        }
        out += static_cast<char>(byte_of_character[c.value]);
        i += c.size;
    }
    return out;
}

/// How files write bytes.
[[nodiscard]] inline std::string symbol_of(std::string_view bytes) {
    static constexpr auto character_of_byte = [] {
        std::array<char32_t, size> out{};
        for (std::size_t c = 0; c < byte_of_character.size(); ++c) {
            if (byte_of_character[c] >= 0) {
                out[static_cast<std::size_t>(byte_of_character[c])] = static_cast<char32_t>(c);
            }
        }
        return out;
    }();
    std::string out;
    for (const char byte : bytes) {
        append_utf8(out, character_of_byte[static_cast<unsigned char>(byte)]);
    }
    return out;
}

}  // namespace byte_alphabet

}  // namespace flowfar
