#pragma once

#include <cstddef>
#include <string_view>

#include "flowfar/text/unicode.hpp"
#include "flowfar/text/utf8.hpp"

namespace flowfar {

/// The pattern that cuts a text into the pieces inside which bytes are merged, as tokenizer.json of Qwen2 states it.
/// `Pieces` is this pattern without a regex engine.
inline constexpr std::string_view qwen2_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

/// The pieces of a UTF-8 text in NFC, one after another; together they are the text.
class Pieces {
   public:
    explicit Pieces(std::string_view characters) : text_(characters) {}

    /// The next piece; empty at the end.
    [[nodiscard]] std::string_view next() {
        const std::size_t begin = position_;
        if (begin < text_.size()) {
            position_ = piece_end();
        }
        return text_.substr(begin, position_ - begin);
    }

   private:
    struct Place {
        CharacterKind kind = CharacterKind::other;
        char32_t value = 0;  // 0 at the end, where `size` is, too
        std::size_t size = 0;
        [[nodiscard]] bool is_break() const { return value == '\r' || value == '\n'; }
        [[nodiscard]] bool is(CharacterKind which) const { return size != 0 && kind == which; }
    };

    [[nodiscard]] Place at(std::size_t i) const {
        if (i >= text_.size()) {
            return {};
        }
        const Utf8Character c = utf8_character(text_, i);
        return {data_.kind(c.value), c.value, c.size};
    }
    [[nodiscard]] std::size_t skip(std::size_t i, CharacterKind kind) const {
        for (Place c = at(i); c.is(kind); c = at(i)) {
            i += c.size;
        }
        return i;
    }

    [[nodiscard]] std::size_t piece_end() const {
        const std::size_t i = position_;
        const Place first = at(i);
        if (first.value == '\'') {
            if (const std::size_t size = contraction(i + 1); size != 0) {
                return i + 1 + size;
            }
        }
        if (first.kind == CharacterKind::letter) {
            return skip(i + first.size, CharacterKind::letter);
        }
        if (first.kind == CharacterKind::number) {
            return i + first.size;
        }
        const Place second = at(i + first.size);
        if (second.is(CharacterKind::letter) && !first.is_break()) {
            return skip(i + first.size, CharacterKind::letter);
        }
        if (first.kind == CharacterKind::other || (first.value == ' ' && second.is(CharacterKind::other))) {
            std::size_t end = skip(i + first.size, CharacterKind::other);
            while (at(end).is_break()) {
                ++end;
            }
            return end;
        }
        return space_end(i);
    }
    /// The end of a piece of white space: after the last line break of the run; else the whole run at the end of the
    /// text, or all of it but the last character, which belongs to what follows.
    [[nodiscard]] std::size_t space_end(std::size_t begin) const {
        std::size_t after_break = begin;
        std::size_t last = begin;
        std::size_t end = begin;
        for (Place c = at(end); c.is(CharacterKind::space); c = at(end)) {
            last = end;
            end += c.size;
            after_break = c.is_break() ? end : after_break;
        }
        if (after_break != begin) {
            return after_break;
        }
        return end == text_.size() || last == begin ? end : last;
    }
    /// The size of a contraction's letters after the apostrophe, in either case; U+017F is a form of s.
    [[nodiscard]] std::size_t contraction(std::size_t i) const {
        const auto lower = [&](std::size_t place) -> char {
            const char c = place < text_.size() ? text_[place] : '\0';
            return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        };
        const char a = lower(i);
        const char b = lower(i + 1);
        if (text_.substr(i < text_.size() ? i : text_.size()).starts_with("\xC5\xBF")) {
            return 2;
        }
        if (a == 's' || a == 't' || a == 'm' || a == 'd') {
            return 1;
        }
        return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 2 : 0;
    }

    const UnicodeData& data_ = UnicodeData::instance();
    std::string_view text_;
    std::size_t position_ = 0;
};

}  // namespace flowfar
