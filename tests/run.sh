#!/usr/bin/env bash
# Builds everything and runs the tests: tests/run.sh [preset] [ctest options]; the preset is also read from PRESET and
# defaults to release. On Debian and Ubuntu missing packages are installed first.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source .cmake/setup.sh

preset=${PRESET:-release}
if [[ $# -gt 0 && $1 != -* ]]; then
    preset=$1
    shift
fi

flowfar_install "${flowfar_packages[@]}" "${flowfar_test_packages[@]}"
flowfar_check_cmake
flowfar_configure "$preset"
case $preset in
    cuda-compile) targets=(cuda_tests) ;;
    fuzz) targets=(fuzz) ;;
    tsan) targets=(threads_tests) ;;
    asan | clang-asan) targets=(all) ;; # single headers say nothing more under a sanitizer
    *) targets=(all all_verify_interface_header_sets) ;;
esac
# -k 0: one run shows every unit that does not compile.
cmake --build --preset "$preset" -j "$(flowfar_jobs)" --target "${targets[@]}" -- -k 0
if [[ $preset == release ]]; then # the limits are for its options
    tests/support/cost.sh "build/$preset"
fi

# ctest hides what passing tests print, so the golden cases are counted here, each once; its own closing lines come last again.
log=build/$preset/ctest.log
status=0
ctest --preset "$preset" -j "$(flowfar_jobs)" --output-log "$log" "$@" || status=$?
golden_count() { sed -n "s/^$1: //p" "build/$preset/Testing/Temporary/LastTest.log" | sort -u | wc -l; }
echo "golden cases in all: $(golden_count 'golden case') run, $(golden_count 'golden case missing') not available"
sed -n '/tests passed/,$p' "$log"
exit "$status"
