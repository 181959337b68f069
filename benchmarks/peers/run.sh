#!/usr/bin/env bash
# Builds the benchmarks and compares them with PyTorch on this machine: benchmarks/peers/run.sh [options of compare.py].
# PyTorch is used if the current Python has it; otherwise the newest from PyPI goes into build/peers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source .cmake/setup.sh

python=${PYTHON:-python3}
if ! "$python" -c 'import torch' 2>/dev/null; then
    python3 -m venv build/peers
    build/peers/bin/pip install --quiet torch numpy
    python=build/peers/bin/python
fi
flowfar_configure release
cmake --build --preset release -j "$(flowfar_jobs)" --target benchmarks >/dev/null
exec "$python" benchmarks/peers/compare.py "$@"
