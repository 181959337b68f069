#pragma once

/// The smallest vocabulary of a byte-level tokenizer, as vocab.json has it.

#include <string>

#include "flowfar/core/error.hpp"
#include "flowfar/text/byte_alphabet.hpp"

namespace flowfar::testing {

/// The 256 bytes in the order of their symbols, ids 0 to 255.
[[nodiscard]] inline std::string byte_vocabulary() {
    std::string out;
    int id = 0;
    for (std::size_t c = 0; c < byte_alphabet::byte_of_character.size(); ++c) {
        if (byte_alphabet::byte_of_character[c] >= 0) {
            out += id == 0 ? "{\"" : ",\"";
            out += c == '"' || c == '\\' ? "\\" : "";
            append_utf8(out, static_cast<char32_t>(c));
            out += text("\":", id++);
        }
    }
    return out + "}";
}

}  // namespace flowfar::testing
