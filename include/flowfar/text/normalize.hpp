#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/text/unicode.hpp"
#include "flowfar/text/utf8.hpp"

namespace flowfar {

namespace detail {

/// Unicode's canonical normalization, section 3.11 and 3.12 of the standard.
class Normalizer {
   public:
    /// Appends the NFC of a segment: a character that begins one, and those after it that do not.
    void append(std::string& out, std::string_view segment) {
        parts_.clear();
        for (std::size_t i = 0; i < segment.size();) {
            const Utf8Character c = utf8_character(segment, i);
            decompose(c.value);
            i += c.size;
        }
        reorder();
        compose();
        for (const Part& part : parts_) {
            append_utf8(out, part.value);
        }
    }

   private:
    struct Part {
        char32_t value;
        std::uint8_t combining;
        std::size_t place;
    };

    static constexpr char32_t syllables = 0xAC00;
    static constexpr char32_t leads = 0x1100;
    static constexpr char32_t vowels = 0x1161;
    static constexpr char32_t tails = 0x11A7;  // the first stands for none
    static constexpr char32_t lead_count = 19;
    static constexpr char32_t vowel_count = 21;
    static constexpr char32_t tail_count = 28;

    void add(char32_t c, std::uint8_t combining) { parts_.push_back({c, combining, parts_.size()}); }
    void decompose(char32_t c) {
        if (const char32_t syllable = c - syllables; syllable < lead_count * vowel_count * tail_count) {
            add(leads + syllable / (vowel_count * tail_count), 0);
            add(vowels + syllable / tail_count % vowel_count, 0);
            if (syllable % tail_count != 0) {
                add(tails + syllable % tail_count, 0);
            }
            return;
        }
        const auto entry = data_.decomposition(c);
        if (!entry) {
            add(c, data_.combining_class(c));
            return;
        }
        decompose(entry->first);  // at most four deep
        if (entry->second != 0) {
            decompose(entry->second);
        }
    }
    /// Sorts marks between characters of class 0 by their class; equal ones keep their order.
    void reorder() {
        for (auto first = parts_.begin(); first != parts_.end();) {
            const auto last =
                std::find_if(first + 1, parts_.end(), [](const Part& part) { return part.combining == 0; });
            std::sort(first + (first->combining == 0 ? 1 : 0), last, [](const Part& a, const Part& b) {
                return a.combining != b.combining ? a.combining < b.combining : a.place < b.place;
            });
            first = last;
        }
    }
    void compose() {
        std::size_t kept = 0;
        std::size_t starter = parts_.size();  // none yet
        for (const Part part : parts_) {
            if (starter < kept) {
                // A mark of the same or a higher class, or any character of class 0, blocks what comes after it.
                const bool adjacent = kept == starter + 1;
                const bool blocked = !adjacent && parts_[kept - 1].combining >= part.combining;
                const char32_t composed = blocked ? 0 : composition(parts_[starter].value, part.value);
                if (composed != 0) {
                    parts_[starter].value = composed;
                    continue;
                }
            }
            if (part.combining == 0) {
                starter = kept;
            }
            parts_[kept++] = part;
        }
        parts_.resize(kept);
    }
    [[nodiscard]] char32_t composition(char32_t first, char32_t second) const {
        if (first - leads < lead_count && second - vowels < vowel_count) {
            return syllables + ((first - leads) * vowel_count + second - vowels) * tail_count;
        }
        if (first - syllables < lead_count * vowel_count * tail_count && (first - syllables) % tail_count == 0 &&
            second > tails && second - tails < tail_count) {
            return first + second - tails;
        }
        return data_.composition(first, second);
    }

    const UnicodeData& data_ = UnicodeData::instance();
    std::vector<Part> parts_;
};

}  // namespace detail

/// Normalization form C of a UTF-8 text.
[[nodiscard]] inline std::string nfc(std::string_view characters) {
    const UnicodeData& data = UnicodeData::instance();
    detail::Normalizer normalizer;
    std::string out;
    out.reserve(characters.size());
    std::size_t begin = 0;  // of the segment
    bool plain = true;      // so far it is one character
    for (std::size_t i = 0; i < characters.size();) {
        const Utf8Character c = utf8_character(characters, i);
        if (data.begins_segment(c.value)) {
            if (!plain) {
                normalizer.append(out, characters.substr(begin, i - begin));
                begin = i;
            }
            // Characters that stand alone are copied together with the next.
            out.append(characters, begin, i - begin);
            begin = i;
            plain = true;
        } else {
            plain = false;
        }
        i += c.size;
    }
    if (plain) {
        out.append(characters, begin);
    } else {
        normalizer.append(out, characters.substr(begin));
    }
    return out;
}

}  // namespace flowfar
