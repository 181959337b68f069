#!/usr/bin/env python3
"""Times f32 products of this library and of the engines that it could call instead, in one run, in GFLOP/s.

usage: engines.py [--build build/release] [--runs 5]

OpenBLAS is NumPy's, MKL and oneDNN are PyTorch's; oneDNN has its weights packed beforehand, as this library has from
the second use on. All use as many threads as the library. Needs PyTorch and NumPy (benchmarks/peers/run.sh).
"""

import argparse
import os
import statistics

THREADS = len(os.sched_getaffinity(0))
os.environ["OPENBLAS_NUM_THREADS"] = str(THREADS)
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy
import torch
from torch.utils import mkldnn

import compare

SHAPES = [(4352, 1152, 1152), (4352, 1152, 4608), (4352, 4608, 1152), (512, 768, 3072), (64, 1152, 1152),
          (8, 1152, 1152), (1, 1152, 1152)]


def engines(rows, inner, columns):
    x = torch.randn(rows, inner)
    layer = torch.nn.Linear(inner, columns, bias=False)
    packed = mkldnn.to_mkldnn(layer)
    a, b = x.numpy(), layer.weight.detach().numpy().T
    out = numpy.empty((rows, columns), numpy.float32)
    x_packed = x.to_mkldnn()
    return {"OpenBLAS": lambda: numpy.matmul(a, b, out=out), "MKL": lambda: layer(x), "oneDNN": lambda: packed(x_packed)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    print(f"NumPy {numpy.__version__}, PyTorch {torch.__version__}, {THREADS} threads; medians of {arguments.runs} runs "
          "in turn, GFLOP/s\n\n| rows × inner × columns | flowfar | OpenBLAS | MKL | oneDNN, packed | best of them |\n"
          "|---|---|---|---|---|---|")
    for rows, inner, columns in SHAPES:
        candidates = engines(rows, inner, columns)
        times = {name: [] for name in ("flowfar", *candidates)}
        with torch.inference_mode():
            for candidate in candidates.values():
                for _ in range(3):
                    candidate()
            for _ in range(arguments.runs):
                name = f"gemm/M:{rows}/N:{columns}/K:{inner}/bf16:0/real_time"
                times["flowfar"].append(compare.ours(arguments.build, "primitives", name))
                for engine, candidate in candidates.items():
                    times[engine].append(compare.theirs(candidate, ()))
        rate = {name: 2e-9 * rows * inner * columns / statistics.median(spent) for name, spent in times.items()}
        best = max(rate[name] for name in candidates)
        print(f"| {rows}×{inner}×{columns} | " + " | ".join(f"{r:.0f}" for r in rate.values())
              + f" | {best / rate['flowfar']:.2f} of flowfar |", flush=True)


if __name__ == "__main__":
    main()
