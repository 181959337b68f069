#!/usr/bin/env python3
"""What a FlowMo decoder pass, a FAR image and a training step should take on an H100, from bytes, FLOP and launches.

usage: budget.py [--launches FILE] [--gap MICROSECONDS] [--check]

FILE, by default launches.txt beside this script, is what the test cuda.launches prints under the emulator:
    build/release/tests/cuda/cuda_launches_test | grep '^launches of' > benchmarks/cuda/launches.txt
It says how many kernels each part starts, so the budget follows the code. --check compares the list with what this
script takes the parts to be made of, and prints nothing else. NOT MEASURED: each rate below is an assumption, written
beside its reason; a run on a device replaces them.
"""

import argparse
import pathlib
import re
import sys

PEAK = 989e12        # dense bf16 FLOP/s of an H100 SXM
BANDWIDTH = 3.35e12  # bytes/s of its memory
GEMM = 0.65          # of the peak: large products of cuBLASLt
ROWS = 0.80          # of the bandwidth: what reads and writes whole rows once
ATTENTION = {"portable": 300e12, "warpgroups": 400e12, "backward": 140e12}  # FLOP/s: counted from machine code
BF16 = 2


class Launches:
    """Kernels of each part, by kind: {part: {kind: number}}."""

    KINDS = [("product", r"^product"), ("norm", r"NormShape"), ("heads", r"HeadNorm"), ("attention", r"Attention"),
             ("rest", r"")]

    def __init__(self, path):
        self.parts = {}
        for line in open(path, encoding="utf-8"):
            found = re.match(r"launches of ([^:]+): (\d+) (.*)", line)
            if found:
                kinds = self.parts.setdefault(found[1], {})
                kind = next(kind for kind, text in self.KINDS if re.search(text, found[3]))
                kinds[kind] = kinds.get(kind, 0) + int(found[2])

    def total(self, part):
        return sum(self.parts[part].values())


class Budget:
    """Adds up kernels: each takes the longer of its arithmetic and its memory, and `gap` between it and the next."""

    def __init__(self, gap):
        self.gap = gap
        self.seconds = {"arithmetic": 0.0, "memory": 0.0, "gaps": 0.0}
        self.kernels = 0

    def add(self, flop=0.0, size=0.0, rate=PEAK * GEMM, times=1):
        compute, memory = flop / rate, size / (BANDWIDTH * ROWS)
        self.seconds["arithmetic" if compute > memory else "memory"] += times * max(compute, memory)
        self.launch(times)

    def launch(self, times):
        self.kernels += times
        self.seconds["gaps"] += times * self.gap

    def product(self, rows, inner, columns, times=1):
        self.add(2.0 * rows * inner * columns, BF16 * (rows * inner + inner * columns + rows * columns), times=times)

    def rows(self, rows, width, passes, times=1):
        self.add(size=BF16 * rows * width * passes, times=times)

    def attention(self, tokens, width, batch, kind, times=1):
        self.add(4.0 * batch * tokens * tokens * width * (2.5 if kind == "backward" else 1.0),
                 rate=ATTENTION[kind], times=times)

    def line(self, name, unit=1.0):
        s = self.seconds
        whole = sum(s.values())
        return (f"| {name} | {1e3 * whole / unit:.2f} | " +
                " | ".join(f"{1e3 * s[k] / unit:.2f}" for k in ("arithmetic", "memory", "gaps")) + f" | {self.kernels} |")


def block(budget, width, streams, batch, kind, mlp=4, times=1):
    """A double-stream block, one kernel after another. `streams`: tokens of each."""
    for tokens in streams:
        n = batch * tokens
        budget.rows(n, width, 2, 2 * times)           # the two norms
        budget.product(n, width, 3 * width, times)    # queries, keys, values
        budget.product(n, width, width, times)
        budget.product(n, width, mlp * width, times)  # with GELU
        budget.product(n, mlp * width, width, times)
        budget.rows(n, width, 3, 2 * times)           # gate and residual
    budget.rows(batch * sum(streams), 2 * width, 2, times)  # norm and rotation of queries and keys
    budget.attention(sum(streams), width, batch, kind, times)


BLOCK = {"product": 8, "norm": 4, "heads": 1, "attention": 1, "rest": 4}


def decoder_pass(gap, batch, kind):
    budget = Budget(gap)
    block(budget, 1152, [4096, 256], batch, kind, times=16)
    return budget


def far_image(launches, gap, batch, kind):
    """FAR-B: ten levels of 100 steps, with guidance: every row twice."""
    budget = Budget(gap)
    vit, two, three = (launches.total(part) for part in
                       ("vit block", "denoising network of 2 blocks", "denoising network of 3 blocks"))
    levels, steps, rows = 10, 100, 2 * batch
    width, tokens, inner = 768, 320, 1024
    for depth, length in ((12, tokens), (12, tokens)):
        n, times = rows * length, levels * depth
        budget.rows(n, width, 2, 2 * times)
        budget.product(n, width, 3 * width, times)
        budget.product(n, width, width, times)
        budget.product(n, width, 4 * width, times)
        budget.product(n, 4 * width, width, times)
        budget.attention(length, width, rows, kind, times)
        budget.rows(n, width, 3, (vit - 7) * times)  # biases, residuals, GELU
    n, times = rows * 256 // 10, levels * steps  # on average a tenth of the tokens is new at a level
    for _ in range(6):
        budget.product(n, inner, 3 * inner, times)
        budget.product(n, inner, inner, 2 * times)
        budget.rows(n, inner, 2, (three - two - 3) * times)
    budget.launch((two - 2 * (three - two) + 10) * times)  # the network's ends, and about ten of the sampler itself
    return budget


def training_step(launches, gap, batch):
    """FlowMoSmall in mixed precision: 24 blocks, products three times as in the forward pass, other passes in f32."""
    budget = Budget(gap)
    streams, width, part = [1024, 256], 768, launches.parts["decoder block, training"]
    n = batch * sum(streams)
    for columns in (3, 1, 4, 4):
        budget.add(3 * 2.0 * n * width * columns * width, times=24)
    budget.attention(sum(streams), width, batch, "portable", 24)
    budget.attention(sum(streams), width, batch, "backward", 24)
    budget.rows(n, width, 2 * 3, 24 * (sum(part.values()) - part["product"] - part.get("attention", 0)))
    budget.launch(24 * (part["product"] + part.get("attention", 0) - 6))
    return budget


def check(launches):
    found = launches.parts["decoder block, batch 1"]
    if found != BLOCK:
        sys.exit(f"budget.py: a decoder block starts {found}, expected {BLOCK}: the code has changed, and block() here has not")
    counted = Budget(0.0)
    block(counted, 1152, [4096, 256], 1, "portable")
    if counted.kernels != sum(BLOCK.values()):
        sys.exit(f"budget.py: block() counts {counted.kernels} kernels, expected {sum(BLOCK.values())}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--launches", default=pathlib.Path(__file__).with_name("launches.txt"))
    parser.add_argument("--gap", type=float, default=1.5, help="µs between kernels: 1 to 2 in a graph, 3 to 5 without")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    launches = Launches(arguments.launches)
    check(launches)
    if arguments.check:
        return
    gap = 1e-6 * arguments.gap
    print(f"Computed, not measured; {arguments.gap} µs between kernels.\n\n"
          "| work | ms | arithmetic | memory | gaps | kernels |\n| --- | ---: | ---: | ---: | ---: | ---: |")
    for kind in ("portable", "warpgroups"):
        for batch in (1, 8):
            print(decoder_pass(gap, batch, kind).line(f"FlowMoLo decoder, one pass, batch {batch}, {kind} attention"))
    for batch in (1, 64):
        print(far_image(launches, gap, batch, "portable").line(f"FarB, one of {batch} images", batch))
    print(training_step(launches, gap, 8).line("FlowMoSmall, training step of 8 images"))


if __name__ == "__main__":
    main()
