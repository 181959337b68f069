#!/usr/bin/env bash
# cost.sh <build directory>: prints what including the umbrella header costs, and the CPU time and peak memory that each unit
# took when it was last really compiled. Lines over a limit are flagged; with FLOWFAR_COST_STRICT=1 they are an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=$1
include_limit=0.6   # seconds beyond <vector>
seconds_limit=20
kib_limit=1572864   # 1.5 GiB
over=0

# parse_seconds <compiler> <parses> <header...>: the least CPU time of so many parses of a unit that includes the headers.
parse_seconds() {
    local compiler=$1 parses=$2 best="" spent header source
    shift 2
    source=$(mktemp --suffix=.cpp)
    for header in "$@"; do
        echo "#include <$header>" >>"$source"
    done
    for ((; parses > 0; --parses)); do
        spent=$(TIMEFORMAT='%U %S'; { time "$compiler" -std=c++20 -fsyntax-only -Iinclude -isystem /usr/include/eigen3 "$source" 2>&3; } 3>&2 2>&1) || {
            rm -f "$source"
            return 1
        }
        best=$(echo "$spent ${best:-1e9}" | awk '{ s = $1 + $2; print (s < $3) ? s : $3 }')
    done
    rm -f "$source"
    echo "$best"
}

compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
for umbrella in flowfar/flowfar.hpp flowfar/flowmo.hpp flowfar/far.hpp; do
    if [[ -f include/$umbrella ]]; then
        limit=-
        parses=1
        if [[ $umbrella == flowfar/flowfar.hpp ]]; then
            limit=$include_limit
            parses=5
        fi
        plain=$(parse_seconds "$compiler" $parses vector)
        with=$(parse_seconds "$compiler" $parses vector "$umbrella") || { echo "include cost: $umbrella does not parse"; continue; }
        echo "$plain $with $limit" | awk -v header="$umbrella" '{
            printf "include cost: %s takes %.2f s more than <vector>", header, $2 - $1
            if ($3 != "-") { printf " (limit %s s)%s", $3, ($2 - $1 > $3) ? "  OVER" : "" }
            print ""
            exit ($3 != "-" && $2 - $1 > $3) ? 1 : 0
        }' || over=1
    fi
done

costs="$build/compile_costs.tsv"
if [[ -s $costs ]]; then
    # The units of the build as it is now, without those that verify single headers.
    listed=$(sed -n 's/^ *"file": "\(.*\)",\{0,1\}$/\1/p' "$build/compile_commands.json" |
        grep -v '_verify_interface_header_sets/' | sort -u)
    awk -F'\t' -v root="$PWD/" -v seconds="$seconds_limit" -v kib="$kib_limit" '
        FNR == NR { listed[$1]; next }
        $1 in listed {
            unit = $1
            if (index(unit, root) == 1) { unit = substr(unit, length(root) + 1) }
            cpu[unit] = $2; wall[unit] = $3; memory[unit] = $4
        }
        END {
            for (unit in cpu) {
                flag = (cpu[unit] > seconds || (memory[unit] != "-" && memory[unit] > kib)) ? "OVER" : ""
                size = (memory[unit] == "-") ? "-" : sprintf("%.0f", memory[unit] / 1024)
                printf "%s\t%.1f\t%.1f\t%s\t%s\n", unit, cpu[unit], wall[unit], size, flag
            }
        }' <(echo "$listed") "$costs" | sort -t$'\t' -k2,2nr >"$build/compile_costs.txt"
    printf '\ncompile cost of %d units, most expensive first (limits: %d s CPU, 1.5 GiB)\n' \
        "$(wc -l <"$build/compile_costs.txt")" "$seconds_limit"
    printf '%8s %8s %8s  %s\n' "CPU s" "wall s" "MiB" unit
    awk -F'\t' '{ printf "%8s %8s %8s  %s%s\n", $2, $3, $4, $1, ($5 != "") ? "  OVER" : "" }' "$build/compile_costs.txt"
    units=$(wc -l <<<"$listed")
    cached=$((units - $(wc -l <"$build/compile_costs.txt")))
    if [[ $cached -gt 0 ]]; then
        echo "not measured (compiler cache, or not built yet): $cached of $units units"
    fi
    echo
    if grep -q OVER "$build/compile_costs.txt"; then
        over=1
    fi
else
    echo "compile cost: every unit came from the compiler cache"
fi
if [[ $over -ne 0 ]]; then
    echo "warning: over the limits above"
    [[ ${FLOWFAR_COST_STRICT:-0} != 1 ]] || exit 1
fi
