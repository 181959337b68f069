#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "flowfar/core/error.hpp"
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
    std::string merges_name;                                  ///< of a file with a merge per line; empty: `name`'s
    std::size_t first_merge = 0;                              ///< line of the first merge there, counted from 1
    std::vector<AddedToken> added;
    std::string padding = "<|endoftext|>";
    PaddingSide padding_side = PaddingSide::right;

    /// Where the merge of a rank stands, for messages.
    [[nodiscard]] std::string place_of(std::size_t rank) const {
        return merges_name.empty() ? text(name, ": merge ", rank) : text(merges_name, ": line ", first_merge + rank);
    }
};

}  // namespace flowfar
