#pragma once

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "flowfar/text/far_instruction.hpp"
#include "flowfar/text/tokenizer.hpp"

namespace flowfar {

/// Token ids [rows, length] and which of them a language model attends to.
struct TokenRows {
    Index rows = 0;
    Index length = 0;
    std::vector<Index> ids;
    std::vector<Index> mask;  ///< 1 = real, 0 = padding
    std::vector<Index> cut;   ///< for each row, how many tokens at its end were left out

    [[nodiscard]] bool operator==(const TokenRows&) const = default;
};

/// How prompts become rows of equal length: [prefix][padding][prompt] or [prefix][prompt][padding].
struct PromptOptions {
    std::vector<Index> prefix = {};  ///< tokens before each prompt
    Index length = 300;              ///< of the prompt with its padding; longer prompts lose their end
    PaddingSide side = PaddingSide::right;
};

/// Prefix and prompts are tokenized apart and joined as ids. The mask is 1 for the prefix, and for every other id but
/// the padding's: the padding token's own name in a prompt is masked, too, as the published models do.
[[nodiscard]] inline TokenRows prompt_rows(const BpeTokenizer& tokenizer, std::span<const std::string> prompts,
                                           const PromptOptions& options) {
    require(options.length >= 1, "prompts: a length of ", options.length, " tokens, expected at least 1");
    TokenRows out;
    out.rows = static_cast<Index>(prompts.size());
    out.length = static_cast<Index>(options.prefix.size()) + options.length;
    for (const std::string& prompt : prompts) {
        std::vector<Index> ids = tokenizer.encode(prompt);
        const auto most = static_cast<std::size_t>(options.length);
        out.cut.push_back(static_cast<Index>(ids.size() > most ? ids.size() - most : 0));
        ids.resize(std::min(ids.size(), most));
        const auto place = options.side == PaddingSide::left ? ids.begin() : ids.end();
        ids.insert(place, most - ids.size(), tokenizer.padding());
        out.ids.insert(out.ids.end(), options.prefix.begin(), options.prefix.end());
        out.ids.insert(out.ids.end(), ids.begin(), ids.end());
        out.mask.insert(out.mask.end(), options.prefix.size(), 1);
        for (const Index id : ids) {
            out.mask.push_back(id == tokenizer.padding() ? 0 : 1);
        }
    }
    return out;
}

/// Prompts as FAR's text-to-image models read them: after the released one's instruction, in as many tokens as a
/// context has, with the padding on the tokenizer's side.
[[nodiscard]] inline TokenRows far_prompts(const BpeTokenizer& tokenizer, std::span<const std::string> prompts,
                                           Index context_tokens = 300) {
    return prompt_rows(tokenizer, prompts,
                       {{far_instruction.begin(), far_instruction.end()}, context_tokens, tokenizer.padding_side()});
}

}  // namespace flowfar
