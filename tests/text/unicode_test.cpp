/// Unicode's properties and normalization against Python's unicodedata: sums over all characters, printed by
/// .cmake/unicode_tables.py --sums.

#include <cstdint>
#include <doctest/doctest.h>
#include <string>

#include "flowfar/text/normalize.hpp"

using namespace flowfar;

namespace {

/// FNV-1a over numbers.
struct Sum {
    std::uint64_t value = 0xCBF29CE484222325;

    void add(std::uint64_t number) { value = (value ^ number) * 0x100000001B3; }
    void add(const std::string& characters) {
        for (std::size_t i = 0; i < characters.size();) {
            const Utf8Character c = utf8_character(characters, i);
            add(c.valid ? c.value : ~std::uint64_t{0});
            i += c.size;
        }
    }
};

template <class Visit>
std::uint64_t sum_over_characters(Visit&& visit) {
    Sum sum;
    for (char32_t c = 0; c < UnicodeData::end; ++c) {
        if (c < 0xD800 || c >= 0xE000) {
            visit(sum, c);
        }
    }
    return sum.value;
}

std::string utf8(std::u32string_view characters) {
    std::string out;
    for (const char32_t c : characters) {
        append_utf8(out, c);
    }
    return out;
}

}  // namespace

TEST_CASE("letters, numbers and white space") {
    CHECK(sum_over_characters([](Sum& sum, char32_t c) {
              sum.add(static_cast<std::uint64_t>(UnicodeData::instance().kind(c)));
          }) == 0x5668b4c2e00d43e8);
}

TEST_CASE("NFC of every character: alone, before marks that change places, and after a letter with a mark") {
    CHECK(sum_over_characters([](Sum& sum, char32_t c) { sum.add(nfc(utf8({&c, 1}))); }) == 0xa757821c7f21b4df);
    CHECK(sum_over_characters([](Sum& sum, char32_t c) {
              const char32_t all[] = {c, 0x301, 0x323};
              sum.add(nfc(utf8({all, 3})));
          }) == 0x32e4ba505580804f);
    CHECK(sum_over_characters([](Sum& sum, char32_t c) {
              const char32_t all[] = {'a', 0x302, c};
              sum.add(nfc(utf8({all, 3})));
          }) == 0xb1af09ad4ff221ba);
}

TEST_CASE("what is no UTF-8 becomes U+FFFD, once per part") {
    CHECK(repaired_utf8("a\xE2\x82z") == "a\xEF\xBF\xBDz");
    CHECK(repaired_utf8("\xED\xA0\x80") == "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    CHECK(repaired_utf8("\xC0\xAF\xF4\x90\x80\x80") ==
          "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    CHECK(repaired_utf8("\xF0\x9F\x90") == "\xEF\xBF\xBD");
}
