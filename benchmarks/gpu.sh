#!/bin/sh
# Everything that needs a GPU, in one command: configures and builds the preset "cuda", runs the tests on the device and
# the programs with the library's own models, compute-sanitizer on the tests where it is installed, the benchmarks, and
# PyTorch on the same work where Python has it (PYTHON=…), with one table of ratios.
# Tables go to standard output, logs to build/cuda/gpu. Exits with 1 if anything failed.
#
#   benchmarks/gpu.sh [--quick]     without sanitizer and benchmarks
set -u
cd "$(dirname "$0")/.." || exit 1
logs=build/cuda/gpu
mkdir -p "$logs"
failed=0

note() { printf '\n== %s\n' "$1"; }
# log NAME COMMAND…: runs the command; shows the end of its output if it fails.
log() {
    name=$1
    shift
    if "$@" >"$logs/$name.log" 2>&1; then
        echo "$name: passed"
    else
        echo "$name: FAILED, see $logs/$name.log"
        tail -n 20 "$logs/$name.log"
        failed=1
    fi
}

note "device"
nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total,clocks.max.sm --format=csv,noheader || exit 1
nvcc --version 2>/dev/null | tail -n 1

note "build"
# FLOWFAR_CUDA_ARCHITECTURES=90a-real, say, builds for one device only ("native" would leave out what needs 90a).
cmake --preset cuda "-DFLOWFAR_PROGRAM_CONFIGS=FlowMoTiny;FlowMoNano" "-DFLOWFAR_PROGRAM_FAR_CONFIGS=FarTiny;FarNano" "-DFLOWFAR_PROGRAM_TOKEN_CONFIGS=MaskGitNano" \
    ${FLOWFAR_CUDA_ARCHITECTURES:+-DCMAKE_CUDA_ARCHITECTURES=$FLOWFAR_CUDA_ARCHITECTURES} \
    >"$logs/configure.log" 2>&1 || { tail -n 20 "$logs/configure.log"; exit 1; }
cmake --build build/cuda --target cuda_tests bench_gpu flowmo_demo far_generate >"$logs/build.log" 2>&1 || { tail -n 40 "$logs/build.log"; exit 1; }
echo "built"

note "tests on the device"
log tests ctest --test-dir build/cuda -L gpu --output-on-failure
grep -E 'tests passed|tests failed|Passed|Failed|Skipped' "$logs/tests.log"

note "programs on the device"
for precision in f32 bf16; do
    log "flowmo_demo.$precision" build/cuda/examples/flowmo_demo --device cuda --precision "$precision" -o "$logs/demo_$precision"
    log "far_generate.$precision" build/cuda/examples/far_generate --device cuda --precision "$precision" \
        --out "$logs/far_$precision.png"
done
grep -h 'dB' "$logs"/flowmo_demo.*.log

if [ "${1:-}" != --quick ]; then
    note "compute-sanitizer"
    if command -v compute-sanitizer >/dev/null 2>&1; then
        for program in build/cuda/tests/cuda/gpu_*; do
            [ -x "$program" ] && [ -f "$program" ] || continue
            for tool in memcheck racecheck; do
                # cuBLAS's own kernels are reported wrongly by releases up to 13.4.
                log "$tool.$(basename "$program")" compute-sanitizer --tool "$tool" --error-exitcode 3 \
                    --kernel-regex-exclude 'kns=cutlass' "$program"
            done
        done
    else
        echo "not installed"
    fi
    note "benchmarks"
    build/cuda/benchmarks/cuda/gpu | tee "$logs/benchmarks.md"
    note "against PyTorch"
    python=${PYTHON:-python3}
    if "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
        "$python" benchmarks/peers/compare_gpu.py "$logs/benchmarks.md" | tee "$logs/ratios.md"
    else
        echo "$python has no PyTorch that can use this GPU: no ratios"
    fi
fi
exit $failed
