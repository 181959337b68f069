#!/usr/bin/env python3
"""Peak resident memory of this library and of PyTorch on the same work, one process each, in MiB.

usage: memory.py [--build build/release]

"Loaded" is PyTorch's memory before the work: what importing it takes. Needs PyTorch (benchmarks/peers/run.sh) and GNU
time.
"""

import argparse
import json
import os
import resource
import subprocess
import sys

TITLES = ["FlowMo-Lo decoder block, 256×256", "FAR-B denoising network, 4096 tokens", "KL-16 decode, 256×256",
          "FlowMoTiny reconstruct, 64 images", "FlowMoTiny training step, 64 images"]


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def torch_peaks(title, precision):
    """In a process of its own: peak after importing PyTorch, and after three runs."""
    import torch

    import compare

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    before = peak()
    function, inputs = compare.ROWS[title][2][precision]()
    with torch.no_grad():
        for _ in range(3):
            function(*inputs)
    return before, peak()


def own_peak(build, title, precision):
    """By GNU time: the peak of a process begins with that of the one that started it, and PyTorch's is large."""
    import compare

    binary, name, _ = compare.ROWS[title]
    command = [f"{build}/benchmarks/{binary}", f"--benchmark_filter=^{name.format(int(precision == 'bf16'))}$",
               "--benchmark_min_time=0.2"]
    run = subprocess.run(["/usr/bin/time", "-f", "peak %M", *command], capture_output=True, text=True, check=True)
    return int(run.stderr.rsplit("peak ", 1)[1]) / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--row", nargs=3, help=argparse.SUPPRESS)  # ours or torch, title, precision: one measurement
    arguments = parser.parse_args()
    if arguments.row:
        kind, title, precision = arguments.row
        print(json.dumps(own_peak(arguments.build, title, precision) if kind == "ours" else torch_peaks(title, precision)))
        return

    def measure(*row):
        command = [sys.executable, __file__, "--build", arguments.build, "--row", *row]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])

    print("| work | precision | flowfar | PyTorch | of that, importing it |\n|---|---|---|---|---|")
    for title in TITLES:
        for precision in ("f32", "bf16"):
            own = measure("ours", title, precision)
            loaded, theirs = measure("torch", title, precision)
            print(f"| {title} | {precision} | {own:.0f} | {theirs:.0f} | {loaded:.0f} |", flush=True)


if __name__ == "__main__":
    main()
