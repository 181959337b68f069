#!/usr/bin/env bash
# extract.sh <document.md> <unit.cpp>: writes the document's ```cpp blocks as one program and prints their number.
set -euo pipefail
awk -v document="$(basename "$1")" -v unit="$2" '
    /^ *```/ {
        if (inside) { inside = 0 } else if ($0 ~ "^ *```cpp$") { inside = 1; first = 1; ++blocks }
        next
    }
    inside {
        if (first && $0 !~ /^#include/ && $0 != "") { outside = $0 ~ /^(struct|template)/; first = 0 }
        line = sprintf("#line %d \"%s\"\n%s\n", NR, document, $0)
        if ($0 ~ /^#include/) includes = includes line
        else if (!first && outside) file = file line
        else body = body line
    }
    END {
        printf "#include \"stand_in.hpp\"\n%s\n%s\nint main() {\n    make_stand_ins();\n%s    return 0;\n}\n", includes, file, body > unit
        print blocks + 0
    }' "$1"
