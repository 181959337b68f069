#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "flowfar/text/unicode_tables.hpp"

namespace flowfar {

/// What the tokenizer asks about a character. `other` includes marks.
enum class CharacterKind : std::uint8_t { other, letter, number, space };

/// Properties of Unicode characters, unpacked once per process from text/unicode_tables.hpp (1.2 MB).
class UnicodeData {
   public:
    static constexpr char32_t end = 0x110000;

    /// Canonical decomposition of a character; `second` is 0 where it has one part.
    struct Decomposition {
        char32_t character;
        char32_t first;
        char32_t second;
    };

    [[nodiscard]] static const UnicodeData& instance() {
        static const UnicodeData data;
        return data;
    }

    /// Of any c below `end`.
    [[nodiscard]] CharacterKind kind(char32_t c) const { return static_cast<CharacterKind>(flags_[c] & kind_bits); }
    /// Whether NFC leaves the character as it is, whatever stands before it, and lets nothing after it move across.
    [[nodiscard]] bool begins_segment(char32_t c) const { return (flags_[c] & in_segment) == 0; }

    [[nodiscard]] std::uint8_t combining_class(char32_t c) const {
        const auto after = std::upper_bound(classes_.begin(), classes_.end(), c,
                                            [](char32_t value, const ClassRun& run) { return value < run.first; });
        return after == classes_.begin() || c >= std::prev(after)->end ? std::uint8_t{0} : std::prev(after)->value;
    }
    /// None for Hangul syllables, whose parts follow from their number.
    [[nodiscard]] std::optional<Decomposition> decomposition(char32_t c) const {
        const auto found =
            std::lower_bound(decompositions_.begin(), decompositions_.end(), c,
                             [](const Decomposition& entry, char32_t value) { return entry.character < value; });
        return found == decompositions_.end() || found->character != c ? std::nullopt : std::optional(*found);
    }
    /// The character that two compose to, or 0.
    [[nodiscard]] char32_t composition(char32_t first, char32_t second) const {
        const auto found =
            std::lower_bound(compositions_.begin(), compositions_.end(), Decomposition{0, first, second}, by_parts);
        return found == compositions_.end() || found->first != first || found->second != second ? 0 : found->character;
    }

   private:
    static constexpr std::uint8_t kind_bits = 3;
    static constexpr std::uint8_t in_segment = 4;
    static constexpr char32_t excluded = char32_t{1} << 21;  // from composition

    struct ClassRun {
        char32_t first;
        char32_t end;
        std::uint8_t value;
    };

    UnicodeData() : flags_(end) {
        mark(detail::unicode::letters, CharacterKind::letter);
        mark(detail::unicode::numbers, CharacterKind::number);
        mark(detail::unicode::white_space, CharacterKind::space);
        char32_t at = 0;
        const std::span<const std::uint32_t> runs = detail::unicode::combining;
        for (std::size_t i = 0; i + 2 < runs.size(); i += 3) {
            at += runs[i];
            classes_.push_back({at, at + runs[i + 1], static_cast<std::uint8_t>(runs[i + 2])});
            for (const char32_t last = at + runs[i + 1]; at < last; ++at) {
                flags_[at] |= in_segment;
            }
        }
        char32_t character = 0;
        const std::span<const std::uint32_t> parts = detail::unicode::decompositions;
        for (std::size_t i = 0; i + 2 < parts.size(); i += 3) {
            character += parts[i];
            const Decomposition entry{character, parts[i + 1], parts[i + 2] & (excluded - 1)};
            decompositions_.push_back(entry);
            if ((parts[i + 2] & excluded) != 0) {
                flags_[character] |= in_segment;
            } else {
                compositions_.push_back(entry);
                flags_[entry.second] |= in_segment;
            }
        }
        std::sort(compositions_.begin(), compositions_.end(), by_parts);
        // Vowels and final consonants of Hangul compose with what stands before.
        std::fill(flags_.begin() + 0x1161, flags_.begin() + 0x1176, flags_[0x1161] | in_segment);
        std::fill(flags_.begin() + 0x11A8, flags_.begin() + 0x11C3, flags_[0x11A8] | in_segment);
    }

    static bool by_parts(const Decomposition& a, const Decomposition& b) {
        return a.first != b.first ? a.first < b.first : a.second < b.second;
    }
    void mark(std::span<const std::uint32_t> runs, CharacterKind kind) {
        std::size_t at = 0;
        for (std::size_t i = 0; i + 1 < runs.size(); i += 2) {
            at += runs[i];
            for (const std::size_t last = at + runs[i + 1]; at < last; ++at) {
                flags_[at] |= static_cast<std::uint8_t>(kind);
            }
        }
    }

    std::vector<std::uint8_t> flags_;
    std::vector<ClassRun> classes_;
    std::vector<Decomposition> decompositions_;  // by character
    std::vector<Decomposition> compositions_;    // by parts
};

}  // namespace flowfar
