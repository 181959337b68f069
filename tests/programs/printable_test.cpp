#include "../../examples/programs/common/cli/printable.hpp"

#include <doctest/doctest.h>
#include <string>

namespace {

using flowfar::program::LineBreaks;
using flowfar::program::printable;

TEST_CASE("characters that steer a terminal become question marks, one each") {
    CHECK(printable("") == "");
    CHECK(printable("blocks.0.weight ~") == "blocks.0.weight ~");
    CHECK(printable("Zürich 東京 \xf0\x9f\x98\x80") == "Zürich 東京 \xf0\x9f\x98\x80");
    CHECK(printable(std::string("a\0b\n\t\r\x1b\x7f", 8)) == "a?b?????");
    CHECK(printable("\xc2\x80\xc2\x85\xc2\x9b\xc2\x9f|\xc2\xa0") == "????|\xc2\xa0");
    CHECK(printable("\u200e\u200f\u202a\u202e\u2066\u2069\u061c|\u2028\u2029") == "???????|??");
    CHECK(printable("\u200d\u2030\u2065\u206a") == "\u200d\u2030\u2065\u206a");
}

TEST_CASE("damaged UTF-8 hides nothing") {
    CHECK(printable("\x9b"
                    "2J") == "?2J");  // C1 as a byte
    CHECK(printable("\xfc"
                    "ber") ==
          "\xfc"
          "ber");                             // Latin-1
    CHECK(printable("\xc0\x8a") == "?");      // a longer form of \n
    CHECK(printable("\xe2\x80") == "\xe2?");  // cut off
    CHECK(printable("\xe2\x80\n") == "\xe2??");
    CHECK(printable("\xf0\x80\x80\x9b") == "?");
}

TEST_CASE("messages keep their line breaks, with the rest of a line indented") {
    CHECK(printable("model.pth:\n  missing a\r\n  missing b", LineBreaks::indented) ==
          "model.pth:\n  missing a?\n  missing b");
    CHECK(printable("a\nroot# \n\nb\n", LineBreaks::indented) == "a\n  root# \n  \n  b\n  ");
    CHECK(printable("\xc0\x8a", LineBreaks::indented) == "?");
}

}  // namespace
