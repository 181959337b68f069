#!/usr/bin/env bash
# check.sh <include/flowfar> <rooms.txt>: tells every file that breaks the plan of ARCHITECTURE.md, and fails if any does.
set -euo pipefail
export LC_ALL=C
cd "$1"
rooms=$(realpath "$OLDPWD/$2" 2>/dev/null || realpath "$2")

{
    # At most 15 files in a folder; separate bodies and the units that compile them are in impl/ only.
    find . -type f -printf '%h\n' | sort | uniq -c | awk '$1 > 15 { print $2 ": " $1 " files; at most 15 fit a folder" }'
    find . -type f ! -name '*.hpp' ! -name '*.cuh' ! -path './impl/*' -printf '%P: belongs into impl/\n'
    # Names occur once per device, so that a name in a message or a search names one file.
    for device in backend/cpu backend/cuda; do
        find "$device" -type f -printf '%f %P\n' | sort |
            awk -v d="$device/" '$1 == last { print d $2 ": " d place " has this name, too" } { last = $1; place = $2 }'
    done
    # Every include is an arrow from room to room.
    grep -rHoE '^#include "flowfar/[^"]+"' . | sed -E 's|^\./([^:]+):#include "flowfar/([^"]+)"|\1 \2|' | awk -v table="$rooms" '
        function room(file) {
            sub("^impl/", "", file)
            if (file ~ "[.](cpp|cu)$") return "units"
            if (file !~ "/") return file in allowed ? file : "front"
            while (sub("/[^/]*$", "", file)) if (file in allowed) return file
            return "?"
        }
        BEGIN {
            while ((getline line < table) > 0) {
                if (line ~ "^#" || split(line, part, ":") != 2) continue
                allowed[part[1]] = " " part[2] " "
                gsub(" +", " ", allowed[part[1]])
            }
        }
        $2 !~ "^impl/" {
            from = room($1); to = room($2)
            if (from == "?" || to == "?") print $1 ": " (from == "?" ? $1 : $2) " is in no room of the table"
            else if (from != to && from != "units" && allowed[from] !~ "[*]" && $2 !~ "^(config|version)[.]hpp$" &&
                     !index(allowed[from], " " to " ")) print $1 " includes " $2 ": no arrow from " from " to " to
        }'
    # Headers do not include each other in a circle (bodies in impl/ and their headers do).
    grep -rHoE '^#include "flowfar/[^"]+"' . --exclude-dir=impl | sed -E 's|^\./([^:]+):#include "flowfar/([^"]+)"|\1 \2|' |
        grep -v ' impl/' | tsort 2>&1 >/dev/null | sed 's/^tsort: /circle of includes: /'
} | { ! grep .; }
