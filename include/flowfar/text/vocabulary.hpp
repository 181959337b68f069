#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/core/layout.hpp"

namespace flowfar {

/// The side of a text on which padding stands.
enum class PaddingSide : std::uint8_t { left, right };

/// A token that is recognized in the text as it stands, before anything else.
struct AddedToken {
    Index id = 0;
    std::string text;
    bool special = true;  ///< left out by `SpecialTokens::skip`
};

/// What the files of a byte-level tokenizer say.
struct BpeVocabulary {
    std::string name;                                         ///< of its files, for messages
    std::vector<std::string> tokens;                          ///< bytes of the tokens 0, 1, …
    std::vector<std::pair<std::string, std::string>> merges;  ///< bytes of both parts, the first rank first
    std::vector<AddedToken> added;
    std::string padding = "<|endoftext|>";
    PaddingSide padding_side = PaddingSide::right;
};

}  // namespace flowfar
