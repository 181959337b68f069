#pragma once

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "flowfar/text/bpe.hpp"
#include "flowfar/text/normalize.hpp"
#include "flowfar/text/pieces.hpp"
#include "flowfar/text/vocabulary.hpp"

namespace flowfar {

/// What decoding does with special tokens.
enum class SpecialTokens : std::uint8_t { keep, skip };

/// The byte-level tokenizer of Qwen2: text ↔ token ids. Every text has ids, and all texts in NFC come back from them.
/// A const tokenizer may be used from several threads.
///
///     const auto tokenizer = flowfar::load_tokenizer("Qwen2-1.5B");   // flowfar/io.hpp
///     const std::vector<flowfar::Index> ids = tokenizer.encode("A photo of a dog");   // 32, 6548, 315, 264, 5562
class BpeTokenizer {
   public:
    /// Throws `Error` that names `vocabulary.name` if its parts contradict each other.
    explicit BpeTokenizer(BpeVocabulary vocabulary)
        : pairs_(vocabulary),
          name_(std::move(vocabulary.name)),
          tokens_(std::move(vocabulary.tokens)),
          added_(std::move(vocabulary.added)),
          padding_side_(vocabulary.padding_side) {
        add_tokens();
        const auto padding = std::find_if(added_.begin(), added_.end(),
                                          [&](const AddedToken& token) { return token.text == vocabulary.padding; });
        require(padding != added_.end(), name_, ": the padding token \"", vocabulary.padding,
                "\" is not an added token");
        padding_ = padding->id;
    }

    /// The token ids of a UTF-8 text; nothing is put before or after them. Added tokens are recognized in the text as
    /// it is, and what lies between them is brought to NFC. Throws `Error` if the text is not UTF-8.
    [[nodiscard]] std::vector<Index> encode(std::string_view text) const {
        std::vector<Index> out;
        BytePairs::Scratch scratch;
        for_each_piece(text, [&](std::string_view piece, Index id) {
            if (id != no_token) {
                out.push_back(id);
            } else {
                pairs_.encode(piece, out, scratch);
            }
        });
        return out;
    }
    /// The pieces inside which `encode` merges bytes; an added token is a piece of its own.
    [[nodiscard]] std::vector<std::string> pieces(std::string_view text) const {
        std::vector<std::string> out;
        for_each_piece(text, [&](std::string_view piece, Index /*id*/) { out.emplace_back(piece); });
        return out;
    }

    /// The text of tokens. Bytes that are not UTF-8 become U+FFFD.
    [[nodiscard]] std::string decode(std::span<const Index> ids, SpecialTokens special = SpecialTokens::keep) const {
        std::string bytes;
        for (const Index id : ids) {
            if (special == SpecialTokens::keep || !is_special(id)) {
                bytes += token(id);
            }
        }
        return repaired_utf8(bytes);
    }
    /// The bytes of a token; they need not be UTF-8.
    [[nodiscard]] const std::string& token(Index id) const {
        require(id >= 0 && id < size(), name_, ": token ", id, ", expected 0 to ", size() - 1);
        return tokens_[static_cast<std::size_t>(id)];
    }

    /// How many ids there are, added tokens included.
    [[nodiscard]] Index size() const { return static_cast<Index>(tokens_.size()); }
    [[nodiscard]] Index padding() const { return padding_; }
    [[nodiscard]] PaddingSide padding_side() const { return padding_side_; }
    /// By id.
    [[nodiscard]] const std::vector<AddedToken>& added() const { return added_; }
    /// Of the files, for messages.
    [[nodiscard]] const std::string& name() const { return name_; }

   private:
    static constexpr Index no_token = -1;
    static constexpr std::size_t most_added = 4096;
    static constexpr std::size_t most_unused = 4096;  // ids between those of the vocabulary and of added tokens

    void add_tokens() {
        require(added_.size() <= most_added, name_, ": ", added_.size(), " added tokens, expected at most ",
                most_added);
        const auto limit = static_cast<Index>(tokens_.size() + most_unused);
        std::sort(added_.begin(), added_.end(), [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
        for (const AddedToken& token : added_) {
            require(token.id >= 0 && token.id < limit, name_, ": added token \"", token.text, "\": id ", token.id,
                    ", expected 0 to ", limit - 1);
            require(!token.text.empty(), name_, ": added token ", token.id, " is empty");
            require_utf8(token.text, name_ + ": added token");
            const auto at = static_cast<std::size_t>(token.id);
            if (at >= tokens_.size()) {
                tokens_.resize(at + 1);
            }
            require(tokens_[at].empty() || tokens_[at] == token.text, name_, ": added token \"", token.text, "\": id ",
                    token.id, " belongs to another token");
            tokens_[at] = token.text;
        }
        for (std::size_t i = 0; i < added_.size(); ++i) {
            by_length_[static_cast<unsigned char>(added_[i].text[0])].push_back(i);
        }
        const auto longer = [&](std::size_t a, std::size_t b) {
            const std::string& left = added_[a].text;
            const std::string& right = added_[b].text;
            return left.size() != right.size() ? left.size() > right.size() : left < right;
        };
        for (std::vector<std::size_t>& list : by_length_) {
            std::sort(list.begin(), list.end(), longer);
            for (std::size_t i = 1; i < list.size(); ++i) {
                require(longer(list[i - 1], list[i]), name_, ": added token \"", added_[list[i]].text,
                        "\" occurs twice");
            }
        }
    }
    [[nodiscard]] bool is_special(Index id) const {
        const auto found = std::lower_bound(added_.begin(), added_.end(), id,
                                            [](const AddedToken& token, Index value) { return token.id < value; });
        return found != added_.end() && found->id == id && found->special;
    }
    /// The longest added token that begins here.
    [[nodiscard]] const AddedToken* added_at(std::string_view rest) const {
        for (const std::size_t i : by_length_[static_cast<unsigned char>(rest[0])]) {
            if (rest.starts_with(added_[i].text)) {
                return &added_[i];
            }
        }
        return nullptr;
    }
    /// Calls visit(piece, id) for every piece; id belongs to an added token, or is `no_token`.
    template <class Visit>
    void for_each_piece(std::string_view text, Visit&& visit) const {
        require_utf8(text, "text for a tokenizer");
        const auto ordinary = [&](std::string_view part) {
            const std::string normal = nfc(part);
            Pieces pieces(normal);
            for (std::string_view piece = pieces.next(); !piece.empty(); piece = pieces.next()) {
                visit(piece, no_token);
            }
        };
        std::size_t begin = 0;
        for (std::size_t i = 0; i < text.size();) {
            const AddedToken* const found = added_at(text.substr(i));
            if (found == nullptr) {
                ++i;
                continue;
            }
            ordinary(text.substr(begin, i - begin));
            visit(found->text, found->id);
            i += found->text.size();
            begin = i;
        }
        ordinary(text.substr(begin));
    }

    BytePairs pairs_;
    std::string name_;
    std::vector<std::string> tokens_;                      // bytes, by id; empty where an id is unused
    std::vector<AddedToken> added_;                        // by id
    std::array<std::vector<std::size_t>, 256> by_length_;  // added tokens by their first byte, the longest first
    Index padding_ = 0;
    PaddingSide padding_side_;
};

}  // namespace flowfar
