#!/usr/bin/env bash
# Runs every fuzz target for a long time, one after another, and prints a table: tests/fuzz/run_long.sh [seconds each]
# [targets...]. Seconds are those of the processor, so other work on the machine does not shorten a campaign. A target
# that has had its time is not run again, so an interrupted campaign continues where it stopped; remove build/fuzz/long to
# begin anew. Exit status 1 if there are findings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source .cmake/setup.sh

seconds=${1:-1800}
shift || true
sources=(tests/fuzz/*_fuzz.cpp)
names=("${sources[@]##*/}")
names=("${names[@]%_fuzz.cpp}")
targets=("$@")
[[ ${#targets[@]} -ne 0 ]] || targets=("${names[@]}")
build=build/fuzz
results=$build/long
# Memory as in CMakeLists.txt; the timeout is in wall time, in which other work on the machine must not look like a hang.
limits=(-malloc_limit_mb=512 -rss_limit_mb=2048 -timeout=120)

flowfar_configure fuzz
cmake --build --preset fuzz -j "$(flowfar_jobs)" >/dev/null
mkdir -p "$results"

# statistic <target> <name>: a number that libFuzzer prints at the end of a run, summed over the target's runs.
statistic() { sed -n "s/^stat::$2: *//p" "$results/$1".*.log 2>/dev/null | awk '{ sum += $1 } END { printf "%d", sum }'; }
# coverage <target>: edges and features of the last run.
coverage() { cat "$results/$1".*.log | grep -o 'cov: [0-9]* ft: [0-9]*' | tail -n 1 | awk '{ print $2 "\t" $4 }'; }
findings() { find "$results" -name "$1-crash-*" -o -name "$1-oom-*" -o -name "$1-timeout-*" -o -name "$1-leak-*" | wc -l; }
# Processor seconds of all processes that this script waited for.
children_seconds() { awk '{ print int(($16 + $17) / 100) }' "/proc/$$/stat"; }
spent() { cat "$results/$1.seconds" 2>/dev/null || echo 0; }

for name in "${targets[@]}"; do
    left=$((seconds - $(spent "$name")))
    if [[ $left -le 0 ]]; then
        continue
    fi
    folders=("tests/fuzz/corpus/$name")
    case $name in
        png | jpeg) folders+=(tests/io/data) ;;
        npy | npz | pickle | torch_checkpoint | zip) folders+=(tests/io/data/torch) ;;
    esac
    dictionary=()
    if [[ -f tests/fuzz/$name.dict ]]; then
        dictionary=("-dict=tests/fuzz/$name.dict")
    fi
    found=$build/found/$name
    mkdir -p "$found"
    # In pieces of at most ten minutes: what an interruption costs.
    while [[ $left -gt 0 ]]; do
        piece=$((left < 600 ? left : 600))
        number=$(find "$results" -name "$name.*.log" | wc -l)
        before=$(children_seconds)
        UBSAN_OPTIONS=print_stacktrace=1 "$build/tests/fuzz/${name}_fuzz" "$found" "${folders[@]}" "${dictionary[@]}" \
            "${limits[@]}" -max_total_time="$piece" -print_final_stats=1 -artifact_prefix="$results/$name-" \
            >"$results/$name.$number.log" 2>&1 || true # a finding ends a run, not the campaign
        used=$(($(children_seconds) - before))
        used=$((used > 0 ? used : 1)) # a finding may come at once
        echo $(($(spent "$name") + used)) >"$results/$name.seconds"
        left=$((left - used))
    done
done

total=0
printf '| %-18s | %8s | %14s | %8s | %9s | %8s |\n' target seconds executions edges features findings
printf '|---|---:|---:|---:|---:|---:|\n'
for name in "${targets[@]}"; do
    if [[ $(spent "$name") -eq 0 ]]; then
        continue
    fi
    IFS=$'\t' read -r edges features < <(coverage "$name")
    count=$(findings "$name")
    total=$((total + count))
    printf '| %-18s | %8d | %14d | %8d | %9d | %8d |\n' "$name" "$(spent "$name")" \
        "$(statistic "$name" number_of_executed_units)" "${edges:-0}" "${features:-0}" "$count"
done
if [[ $total -ne 0 ]]; then
    echo "inputs that were findings: $results/<target>-<kind>-<hash>"
    exit 1
fi
