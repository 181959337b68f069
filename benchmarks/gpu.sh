#!/bin/bash
# Everything that needs a GPU, for a machine that is lent for minutes and has little installed.
#
#   benchmarks/gpu.sh pack    here: builds what runs there and packs it into build/gpu, beside an archive of what a build
#                             there would need. Needs nvcc, no GPU. PACK_TARGETS and
#                             PACK_OPTIONS: what to build in place of everything, and further options of CMake
#   benchmarks/gpu.sh run     there, in a copy of this tree with build/gpu: tests, programs, times, PyTorch on the same work,
#                             compute-sanitizer. One table at the end; everything else in at most 8 files of $OUT, by default
#                             build/cuda/gpu. BUDGET: seconds, by default 480. Exits with 1 if anything failed or was cut.
#                             WITHOUT_DEVICE=1 tries the script itself: every test skips
#   benchmarks/gpu.sh build   there: what `run` falls back to where the packed programs do not start
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
root=$PWD
packed=$root/build/gpu
here=$root/build/cuda # of the fallback's build
targets=${PACK_TARGETS:-"gpu_tests bench_gpu flowmo_demo far_generate"}

# configure FOLDER OPTIONS…: for one GPU of sm_90a, any CPU, with few configurations of programs.
configure() {
    local folder=$1
    shift
    cmake -G Ninja -S . -B "$folder" -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG" -DFLOWFAR_CUDA=ON \
        -DFLOWFAR_NATIVE=OFF -DFLOWFAR_INSTALL=OFF -DCMAKE_CUDA_ARCHITECTURES=90a-real \
        "-DFLOWFAR_PROGRAM_CONFIGS=FlowMoTiny;FlowMoNano" "-DFLOWFAR_PROGRAM_FAR_CONFIGS=FarTiny;FarNano" \
        -DFLOWFAR_PROGRAM_TEXT_CONFIGS=FarTextNano -DFLOWFAR_PROGRAM_TOKEN_CONFIGS=MaskGitNano "$@"
}

# ---- pack ------------------------------------------------------------------------------------------------------------
# dependencies FOLDER: headers and static libraries of Debian's packages, for the fallback.
dependencies() {
    local to=$1 libraries
    libraries=/usr/lib/$(gcc -print-multiarch)
    mkdir -p "$to"/{include,lib,share/cmake,lib/cmake}
    cp -rL /usr/include/eigen3 /usr/include/doctest /usr/include/nlohmann /usr/include/libpng16 "$to/include/"
    rm -rf "$to/include/eigen3/unsupported"
    cp -L /usr/include/{zlib,zconf,png,pngconf,pnglibconf,jpeglib,jmorecfg,jerror}.h "$to/include/" || return 1
    cp -L "/usr/include/$(gcc -print-multiarch)/jconfig.h" "$to/include/" || return 1
    cp -L "$libraries"/{libz,libpng16,libjpeg}.a "$to/lib/" || return 1
    cp -r /usr/share/eigen3 "$to/share/" && cp -r /usr/share/cmake/nlohmann_json "$to/share/cmake/" || return 1
    # Debian's has /usr in it.
    mkdir -p "$to/lib/cmake/doctest"
    cat >"$to/lib/cmake/doctest/doctestConfig.cmake" <<'CONFIG'
if(NOT TARGET doctest::doctest)
    add_library(doctest::doctest INTERFACE IMPORTED)
    set_target_properties(doctest::doctest PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${CMAKE_CURRENT_LIST_DIR}/../../../include")
endif()
CONFIG
}

# archive FILE FOLDER: by Python, as the other end unpacks it: xz is not everywhere.
archive() {
    python3 - "$1" "$2" <<'PYTHON'
import lzma, sys, tarfile
filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 256 << 20}]
with lzma.open(sys.argv[1], "wb", filters=filters) as packed, tarfile.open(fileobj=packed, mode="w|") as archive:
    archive.add(sys.argv[2], arcname=".")
PYTHON
}
unpack() {
    python3 - "$1" "$2" <<'PYTHON'
import lzma, os, sys, tarfile
os.makedirs(sys.argv[2], exist_ok=True)
with lzma.open(sys.argv[1]) as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
    archive.extractall(sys.argv[2])
PYTHON
}

pack() {
    local build=build/gpu-build stage libraries file
    libraries=/usr/lib/$(gcc -print-multiarch)
    mkdir -p build
    # shellcheck disable=SC2086 # a list of options
    configure "$build" "-DZLIB_LIBRARY=$libraries/libz.a" "-DPNG_LIBRARY=$libraries/libpng16.a" \
        "-DJPEG_LIBRARY=$libraries/libjpeg.a" ${PACK_OPTIONS:-} >"$build.log" 2>&1 || { tail -n 20 "$build.log"; return 1; }
    # shellcheck disable=SC2086 # a list of targets
    cmake --build "$build" --target $targets >>"$build.log" 2>&1 || { tail -n 40 "$build.log"; return 1; }
    rm -rf "$packed"
    mkdir -p "$packed"
    stage=$(mktemp -d)
    trap 'rm -rf "$stage"' RETURN
    mkdir "$stage/programs" "$stage/deps" "$stage/golden"
    for file in tests/cuda/gpu_tests benchmarks/cuda/gpu examples/flowmo_demo examples/far_generate; do
        [ ! -x "$build/$file" ] || strip -o "$stage/programs/$(basename "$file")" "$build/$file" || return 1
    done
    cp "$build/tests/cuda/gpu_tests.txt" "$stage/programs/" || return 1
    archive "$packed/programs.tar.xz" "$stage/programs" || return 1
    dependencies "$stage/deps" && archive "$packed/deps.tar.xz" "$stage/deps" || return 1
    # The published sizes' recordings are the most valuable checks that a GPU can run; they are not in the repository.
    if [ -d ../shared/golden ]; then
        for file in $(full_cases); do
            cp "../shared/golden/$file".* "$stage/golden/" 2>/dev/null || echo "no recording $file"
        done
        archive "$packed/golden.tar.xz" "$stage/golden" || return 1
    fi
    echo "packed:" && du -b "$packed"/* | awk '{ printf "  %8.2f MB  %s\n", $1 / 1e6, $2; sum += $1 } END { printf "  %8.2f MB  in all\n", sum / 1e6 }'
    git ls-files -z | xargs -0 du -cb 2>/dev/null | awk 'END { printf "  %8.2f MB  the tree\n", $1 / 1e6 }'
}
# The names of the recordings of published sizes that the device's tests read.
full_cases() {
    sed -n 's/.*"\([a-z0-9_]*\)".*/\1/p' tests/golden/recordings.hpp tests/golden/*_full_test.cpp | sort -u | while read -r name; do
        [ ! -f "../shared/golden/$name.safetensors" ] || [ -f "tests/golden/$name.safetensors" ] || echo "$name"
    done
}

# ---- run -------------------------------------------------------------------------------------------------------------
out=${OUT:-$root/build/cuda/gpu}
budget=${BUDGET:-480}
declare -a table=()
failed=0

left() { echo $((budget - SECONDS)); }
# step NAME SECONDS FILE COMMAND…: under its own limit and what is left of all; appends its output to $out/FILE. The command finds
# in $UNTIL when what it starts in process groups of its own must be over: the limit does not reach them.
step() {
    local name=$1 limit=$2 file=$3 begin=$SECONDS status=0 word
    shift 3
    [ "$limit" -le "$(left)" ] || limit=$(left)
    if [ "$limit" -lt 10 ]; then
        table+=("| $name | not run: no time was left | 0 |")
        failed=1
        return 1
    fi
    echo "== $name" | tee -a "$out/$file"
    UNTIL=$((EPOCHSECONDS + limit - 5)) timeout -k 5 "$limit" "$@" >>"$out/$file" 2>&1 || status=$?
    case $status in
        0) word=passed ;;
        77) word=skipped ;;
        124 | 137) word="CUT after $limit s" && failed=1 ;;
        *) word="FAILED ($status)" && failed=1 ;;
    esac
    table+=("| $name | $word | $((SECONDS - begin)) |")
    echo "$name: $word"
    return "$status"
}

facts() {
    nvidia-smi -q | grep -E 'Product Name|Driver Version|CUDA Version|Graphics|SM  |Memory  |Total|Used|Free|Power Draw' | head -n 60
    nvcc --version | tail -n 2
    g++ --version | head -n 1
    cmake --version | head -n 1
    free -g | head -n 2
    nproc
    ldd "$programs/gpu_tests"
    timeout 8 find /usr /opt \( -name 'libcublasLt.so*' -o -name cublasLt.h \) 2>/dev/null # slow on a cold disk
    return 0
}
# cublasLt comes with the toolkit or with PyTorch.
find_libraries() {
    local folder
    for folder in /usr/local/cuda/lib64 $(python3 -c 'import glob, site; print(*glob.glob(site.getsitepackages()[0] + "/nvidia/cu13/lib"))' 2>/dev/null) \
        /usr/local/lib/python3*/dist-packages/nvidia/cu13/lib; do
        [ ! -e "$folder/libcublasLt.so.13" ] || export LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    done
}
# starts PROGRAM: whether the loader finds everything. Without a GPU it says 77; the first start on a cold machine may take long.
starts() {
    local status=0
    timeout 60 "$1" --count >/dev/null 2>&1 || status=$?
    [[ $status =~ ^(0|77|124)$ ]]
}
build_here() {
    rm -rf "$packed/deps"
    unpack "$packed/deps.tar.xz" "$packed/deps" &&
        configure "$here" -DFLOWFAR_BUILD_EXAMPLES=OFF -DFLOWFAR_GPU_GOLDEN=OFF "-DCMAKE_PREFIX_PATH=$packed/deps" \
            "-DZLIB_LIBRARY=$packed/deps/lib/libz.a" "-DPNG_LIBRARY=$packed/deps/lib/libpng16.a" \
            "-DJPEG_LIBRARY=$packed/deps/lib/libjpeg.a" &&
        cmake --build "$here" --target ${BUILD_TARGETS:-gpu_tests bench_gpu}
}

# tests FILTER [CHECKER]: the test files whose names match, each in a process of its own that ends when $UNTIL has come, six at a
# time, under a checker if one is given. Says which failed; files that have no test are failures, too.
tests() {
    local chosen
    chosen=$(grep -E "^($1) " "$programs/gpu_tests.txt") || { echo "no test is called $1"; return 1; }
    CHECKER=${2:-} xargs -P 6 -L 1 bash -c '
        limit=$((UNTIL - EPOCHSECONDS))
        [ "$limit" -gt 0 ] || { echo "$1: FAILED (not run: no time was left)"; exit 1; }
        log=$(timeout -k 2 "$limit" $CHECKER "$0" --source-file="$2" 2>&1); status=$?
        passed=$(grep -oE "[1-9][0-9]* passed" <<<"$log" | head -n 1)
        case $status,$passed in
            0,?*) echo "$1: $passed" ;;
            77,*) echo "$1: skipped" ;;
            *) echo "$1: FAILED ($status)"; tail -n 30 <<<"$log"; exit 1 ;;
        esac' "$programs/gpu_tests" <<<"$chosen"
}
everything_else() { tests "($(grep -vE "^($first|$attention) " "$programs/gpu_tests.txt" | cut -d ' ' -f 1 | paste -sd '|'))"; }
programs() {
    local precision status=0
    [ -x "$programs/flowmo_demo" ] || return 77
    # Where an installed program finds its model.
    mkdir -p "$programs/../share/flowfar" && ln -sfn "$PWD/examples/models" "$programs/../share/flowfar/models"
    for precision in f32 bf16; do
        "$programs/flowmo_demo" --device cuda --precision "$precision" -o "$work/demo_$precision" || status=1
        [ ! -x "$programs/far_generate" ] || "$programs/far_generate" --device cuda --precision "$precision" --out "$work/far_$precision.png" || status=1
    done
    return $status
}
ratios() {
    "${PYTHON:-python3}" -c 'import torch' || return 77
    "${PYTHON:-python3}" benchmarks/peers/compare_gpu.py "$out/times.md" "$@"
}
sanitized() {
    local name status=0 checker="compute-sanitizer --tool memcheck --error-exitcode 3"
    command -v compute-sanitizer || return 77
    checker+=" --kernel-name-exclude kns=cutlass" # cuBLAS's own kernels are reported wrongly by releases up to 13.4
    for name in memory conv norm recording joint_heads attention; do # the last takes longest
        tests "$name" "$checker" || status=1
    done
    return $status
}

run() {
    first="functor_compile|memory|elementwise|reduce"
    attention="attention|attention_hopper|warpgroup"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    mkdir -p "$out"
    rm -f "$out"/{facts.txt,build.log,tests.log,hopper.log,programs.log,times.md,ratios.md,sanitizer.log}
    find_libraries
    export FLOWFAR_SOURCE_DIR=$root
    programs=$packed/programs
    export programs first attention work out
    export -f facts tests everything_else programs ratios sanitized build_here configure unpack
    [ ! -f "$packed/golden.tar.xz" ] || { unpack "$packed/golden.tar.xz" "$work/golden" && export FLOWFAR_GOLDEN_DIR=$work/golden; }
    [ ! -f "$packed/programs.tar.xz" ] || unpack "$packed/programs.tar.xz" "$programs"
    if ! starts "$programs/gpu_tests"; then
        ldd "$programs/gpu_tests" >>"$out/build.log" 2>&1
        export packed here root
        step "build" 300 build.log bash -c build_here || { tail -n 30 "$out/build.log"; report; return 1; }
        mkdir -p "$packed/programs"
        cp "$here"/tests/cuda/gpu_tests{,.txt} "$here/benchmarks/cuda/gpu" "$programs/"
    fi
    step "facts" 20 facts.txt bash -c facts
    if [ "${WITHOUT_DEVICE:-0}" = 0 ] && ! timeout 60 "$programs/gpu_tests" --count >"$work/count" 2>&1; then
        cat "$work/count"
        table+=("| device | FAILED: the programs start, but find no device | 0 |")
        failed=1
        report
        return 1
    fi
    step "first tests" 40 tests.log bash -c 'tests "$first"'
    # A barrier that is never met hangs; this process alone would.
    step "warpgroup products" 25 hopper.log bash -c 'tests warpgroup'
    step "warpgroup attention" 50 hopper.log bash -c 'tests attention_hopper'
    step "portable attention" 45 tests.log bash -c 'tests attention'
    step "other tests" 90 tests.log bash -c everything_else
    step "programs" 30 programs.log bash -c programs
    step "times of kernels" 45 times.md "$programs/gpu" --short --part kernels
    step "times of models" 75 times.md "$programs/gpu" --short --part models
    step "PyTorch on the same" 80 ratios.md bash -c 'ratios --no-compile'
    step "PyTorch, compiled" 120 ratios.md bash -c 'ratios --only decode'
    step "compute-sanitizer" 75 sanitizer.log bash -c sanitized
    report
    return $failed
}
report() {
    local line
    printf '\n| step | result | s |\n| --- | --- | ---: |\n'
    printf '%s\n' "${table[@]}"
    for line in hopper.log tests.log sanitizer.log; do
        [ ! -f "$out/$line" ] || grep -hE 'FAILED|ERROR|test cases:' "$out/$line" | sort | uniq -c | head -n 40
    done
    [ ! -f "$out/times.md" ] || { echo && grep '^|' "$out/times.md"; }
    [ ! -f "$out/ratios.md" ] || { echo && grep '^|' "$out/ratios.md"; }
}

case ${1:-} in
    pack) pack ;;
    run) run ;;
    build) build_here ;;
    *)
        sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
        exit 2
        ;;
esac
