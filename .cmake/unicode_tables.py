#!/usr/bin/env python3
"""Writes include/flowfar/text/unicode_tables.hpp from the Unicode database of the Python that runs this.

.cmake/unicode_tables.py [--sums]: with --sums, prints the checksums that tests/text/unicode_test.cpp compares.
"""
import pathlib
import sys
import unicodedata

PATH = pathlib.Path(__file__).resolve().parent.parent / "include/flowfar/text/unicode_tables.hpp"
ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
# Property White_Space of PropList.txt, which unicodedata does not have; it has been the same since Unicode 6.3.
SPACES = [*range(9, 14), 0x20, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]


def ranges(members):
    """Gaps and lengths of runs: gap, length, gap, length, …"""
    out, end = [], 0
    for c in members:
        if out and c == end:
            out[-1] += 1
        else:
            out += [c - end, 1]
        end = c + 1
    return out


def class_ranges():
    """Gap, length, combining class of each run of characters that have one."""
    out, end, last = [], 0, 0
    for c in ALL:
        value = unicodedata.combining(chr(c))
        if value == 0:
            continue
        if out and c == end and value == last:
            out[-2] += 1
        else:
            out += [c - end, 1, value]
        end, last = c + 1, value
    return out


def decompositions():
    """Distance from the previous character, first part, second part or 0, of all canonical decompositions but Hangul's.
    Those that are composed again come with their second part as it is, the others with 2^21 added."""
    out, last = [], 0
    for c in ALL:
        parts = unicodedata.decomposition(chr(c)).split()
        if not parts or parts[0].startswith("<"):
            continue
        first, second = int(parts[0], 16), int(parts[1], 16) if len(parts) == 2 else 0
        kept = unicodedata.normalize("NFC", chr(c)) == chr(c)
        out += [c - last, first, second + (0 if kept else 1 << 21)]
        last = c
    return out


def array(name, comment, values):
    rows, row = [], ""
    for value in values:
        if len(row) + len(str(value)) > 114:
            rows.append(row)
            row = ""
        row += f"{value},"
    rows = "\n    ".join([*rows, row.rstrip(",")])
    return f"/// {comment}\ninline constexpr std::uint32_t {name}[] = {{\n    {rows}}};\n"


def fnv(values):
    out = 0xCBF29CE484222325
    for value in values:
        out = ((out ^ value) * 0x100000001B3) % (1 << 64)
    return out


def kind(c):
    category = unicodedata.category(chr(c))[0]
    return 1 if category == "L" else 2 if category == "N" else 3 if c in SPACES else 0


def nfc(text):
    return [ord(c) for c in unicodedata.normalize("NFC", text)]


def main():
    if "--sums" in sys.argv:
        print("kinds     ", hex(fnv(kind(c) for c in ALL)))
        print("alone     ", hex(fnv(n for c in ALL for n in nfc(chr(c)))))
        print("with marks", hex(fnv(n for c in ALL for n in nfc(chr(c) + "\u0301\u0323"))))
        print("after a   ", hex(fnv(n for c in ALL for n in nfc("a\u0302" + chr(c)))))
        return
    parts = [
        "#pragma once\n",
        f"/// Unicode {unicodedata.unidata_version}: letters, numbers, white space, and canonical (de)compositions.\n"
        "/// Made by .cmake/unicode_tables.py; unicode.hpp reads it.\n",
        "#include <cstdint>\n",
        "namespace flowfar::detail::unicode {\n",
        "// clang-format off\n",
        array("letters", "Categories L*: gap, length of each run.", ranges(c for c in ALL if kind(c) == 1)),
        array("numbers", "Categories N*: gap, length of each run.", ranges(c for c in ALL if kind(c) == 2)),
        array("white_space", "Property White_Space: gap, length of each run.", ranges(SPACES)),
        array("combining", "Combining classes: gap, length, class of each run.", class_ranges()),
        array("decompositions", "Canonical decompositions: distance from the one before, first part, second part or 0;\n"
              "/// 2^21 is added to the second part if the character is not composed again.", decompositions()),
        "// clang-format on\n",
        "}  // namespace flowfar::detail::unicode\n",
    ]
    PATH.write_text("\n".join(parts))


main()
