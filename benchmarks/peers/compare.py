#!/usr/bin/env python3
"""Times this library and PyTorch on the same work in one run and prints a table of ratios.

usage: compare.py [--build build/release] [--runs 5] [--compile] [--only text]

Every row runs the library's benchmark (a Google Benchmark of the build folder) and PyTorch in turn, `--runs` times each;
the table shows medians, both after a warm-up. Ratios above 1 mean that the library is faster. PyTorch uses as many threads as the library.
Needs PyTorch (any 2.x; benchmarks/peers/run.sh installs the newest from PyPI into a virtual environment).
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # PyTorch's threads must not spin while the library is timed

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import models


def f32_and_bf16(make):
    """A row whose work PyTorch does in f32 and, with model and inputs cast, in bf16."""
    return {precision: lambda d=dtype: make(d) for precision, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16))}


def stored(rows, inner, columns):
    """A row in which this library's operands are bf16 in memory, as PyTorch's are; the other bf16 rows round f32 ones."""
    return {"bf16": gemm(rows, inner, columns)["bf16"]}


def gemm(rows, inner, columns):
    def make(dtype):
        layer = torch.nn.Linear(inner, columns).to(dtype)
        x = torch.randn(rows, inner, dtype=dtype)
        return layer, (x,)

    return f32_and_bf16(make)


def attention(tokens, size):
    def make(dtype):
        q, k, v = (torch.randn(1, 12, tokens, size, dtype=dtype) for _ in range(3))
        return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=8.0 / size), (q, k, v)

    return f32_and_bf16(make)


def decoder_block(dtype):
    angles = torch.rand(4352, 48)
    inputs = [torch.randn(shape, dtype=dtype) for shape in ((1, 4096, 1152), (1, 256, 1152), (1, 1152))]
    return models.DoubleBlock(1152, 12).to(dtype), (*inputs, angles.cos(), angles.sin())


def transformer_block(dtype):
    return models.VitBlock(768, 12).to(dtype), (torch.randn(8, 320, 768, dtype=dtype),)


def denoising_network(dtype):
    rows = 4096
    inputs = (torch.randn(rows, 16, dtype=dtype), torch.full((rows,), 500.0), torch.randn(rows, 768, dtype=dtype),
              torch.full((rows, 1), 5.0, dtype=dtype))
    return models.DiffusionMlp(16, 1024, 6, 768).to(dtype), inputs


def vae_decode(dtype):
    return models.VaeDecoder().to(dtype), (torch.randn(1, 16, 16, 16, dtype=dtype),)


def tiny_flowmo():
    return models.FlowMo(32, 4, 32, 36, 9, (64, 2, 3), (112, 4, 3))


def tiny_encode(batch):
    def make(dtype):
        model = tiny_flowmo().to(dtype)
        return model.encode, (torch.rand(batch, 3, 32, 32, dtype=dtype),)

    return f32_and_bf16(make)


def tiny_reconstruct(batch):
    def make(dtype):
        model = tiny_flowmo().to(dtype)
        for name in ("encoder_cos", "encoder_sin", "decoder_cos", "decoder_sin"):
            setattr(model, name, getattr(model, name).float())
        return model.reconstruct, (torch.rand(batch, 3, 32, 32, dtype=dtype),)

    return f32_and_bf16(make)


def training_step():
    def make(dtype):
        images = torch.rand(64, 3, 32, 32)
        return models.training_step(tiny_flowmo(), images, dtype == torch.bfloat16), (images,)

    return f32_and_bf16(make)


def lfq(bits):
    def make(_):
        code = torch.randn(1, 512, bits, requires_grad=True)

        def step(code):
            with torch.enable_grad():
                models.lfq_loss(code, bits).backward()

        return step, (code,)

    return {"f32": lambda: make(torch.float32)}


# title: binary, name of its benchmark ({} is 0 for f32 and 1 for bf16), PyTorch by precision
ROWS = {
    "product 4352×1152×1152": ("primitives", "gemm/M:4352/N:1152/K:1152/bf16:{}/real_time", gemm(4352, 1152, 1152)),
    "product 4352×1152×4608": ("primitives", "gemm/M:4352/N:4608/K:1152/bf16:{}/real_time", gemm(4352, 1152, 4608)),
    "product 4352×4608×1152": ("primitives", "gemm/M:4352/N:1152/K:4608/bf16:{}/real_time", gemm(4352, 4608, 1152)),
    "product 4352×1152×1152, stored so": ("primitives", "gemm_stored/M:4352/N:1152/K:1152/real_time", stored(4352, 1152, 1152)),
    "product 4352×1152×4608, stored so": ("primitives", "gemm_stored/M:4352/N:4608/K:1152/real_time", stored(4352, 1152, 4608)),
    "product 4352×4608×1152, stored so": ("primitives", "gemm_stored/M:4352/N:1152/K:4608/real_time", stored(4352, 4608, 1152)),
    "product 4352×1152×4608, operand from a norm": ("primitives", "gemm_operand/M:4352/N:4608/K:1152/real_time", stored(4352, 1152, 4608)),
    "product 4352×4608×1152, operand from a product": ("primitives", "gemm_operand/M:4352/N:1152/K:4608/real_time", stored(4352, 4608, 1152)),
    "product 64×1152×1152": ("primitives", "gemm/M:64/N:1152/K:1152/bf16:{}/real_time", gemm(64, 1152, 1152)),
    "product 1×1152×1152": ("primitives", "gemm/M:1/N:1152/K:1152/bf16:{}/real_time", gemm(1, 1152, 1152)),
    "attention 12×4352×96": ("primitives", "attention/heads:12/tokens:4352/size:96/bf16:{}/real_time", attention(4352, 96)),
    "attention 12×320×64": ("primitives", "attention/heads:12/tokens:320/size:64/bf16:{}/real_time", attention(320, 64)),
    "FlowMo-Lo decoder block, 256×256": ("flowmo", "decoder_block/bf16:{}/real_time", f32_and_bf16(decoder_block)),
    "FAR-B transformer block, 8×320 tokens": ("far", "transformer_block/bf16:{}/real_time", f32_and_bf16(transformer_block)),
    "FAR-B denoising network, 4096 tokens": ("far", "denoising_network/bf16:{}/real_time", f32_and_bf16(denoising_network)),
    "KL-16 decode, 256×256": ("far", "vae_decode/bf16:{}/real_time", f32_and_bf16(vae_decode)),
    "FlowMoTiny encode, 64 images": ("flowmo", "tiny_encode/batch:64/bf16:{}/real_time", tiny_encode(64)),
    "FlowMoTiny encode, 1 image": ("flowmo", "tiny_encode/batch:1/bf16:{}/real_time", tiny_encode(1)),
    "FlowMoTiny reconstruct, 64 images": ("flowmo", "tiny_reconstruct/batch:64/bf16:{}/real_time", tiny_reconstruct(64)),
    "FlowMoTiny training step, 64 images": ("flowmo", "tiny_training_step/bf16:{}/real_time", training_step()),
    "LFQ loss and gradient, 2^9": ("lfq", "factorised<9>/real_time", lfq(9)),
    "LFQ loss and gradient, 2^14": ("lfq", "factorised<14>/real_time", lfq(14)),
}


def ours(build, binary, name):
    """Seconds of one iteration."""
    out = subprocess.run([f"{build}/benchmarks/{binary}", f"--benchmark_filter=^{name}$", "--benchmark_format=json",
                          "--benchmark_min_time=0.2", "--benchmark_min_warmup_time=1"],
                         capture_output=True, text=True, check=True).stdout
    found = json.loads(out)["benchmarks"]
    if len(found) != 1:
        sys.exit(f"{binary}: expected one benchmark {name}, found {len(found)}")
    return found[0]["real_time"] * {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}[found[0]["time_unit"]]


def theirs(function, inputs):
    """Seconds of one call: the median of as many as fit into 0.2 s, at least one."""
    spent = []
    while not spent or sum(spent) < 0.2:
        start = time.perf_counter()
        function(*inputs)
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def peak(build, precision):
    """What all threads multiply and add in registers, FLOP/s, and in which; None where the CPU has no such instructions."""
    out = subprocess.run([f"{build}/benchmarks/primitives", f"--benchmark_filter=^peak/bf16:{int(precision == 'bf16')}/",
                          "--benchmark_format=json", "--benchmark_min_time=0.2"], capture_output=True, text=True, check=True)
    found = json.loads(out.stdout)["benchmarks"]
    return None if "error_occurred" in found[0] else (found[0]["items_per_second"], found[0]["label"])


def operations(function, inputs):
    """Multiplications and additions in matrix products, convolutions and attention, as PyTorch counts them."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:  # training steps switch gradients on
        function(*inputs)
    return counter.get_total_flops()


def milliseconds(seconds):
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:.0f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="also torch.compile (minutes to compile)")
    parser.add_argument("--only", default="", help="rows whose title contains this text")
    arguments = parser.parse_args()
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    print(f"PyTorch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()} "
          f"({torch.backends.cpu.get_cpu_capability()}); medians of {arguments.runs} runs in turn, ms\n")
    peaks = {precision: peak(arguments.build, precision) for precision in ("f32", "bf16")}
    for precision, found in peaks.items():
        if found:
            print(f"peak of the CPU in {precision}: {1e-9 * found[0]:.0f} GFLOP/s, measured in {found[1]}")
    print()
    header = ["work", "precision", "flowfar", "of peak", "PyTorch", "ratio"]
    if arguments.compile:
        header += ["compiled", "ratio"]
    print("| " + " | ".join(header) + " |\n|" + "---|" * len(header), flush=True)
    for title, (binary, name, variants) in ROWS.items():
        if arguments.only not in title:
            continue
        for precision, make in variants.items():
            torch.manual_seed(1)
            function, inputs = make()
            candidates = [function]
            if arguments.compile:
                candidates.append(torch.compile(function, dynamic=False))
            times = [[] for _ in range(1 + len(candidates))]
            with torch.no_grad():  # not inference mode: what compiled training saves for its gradients must be tracked
                for candidate in candidates:
                    for _ in range(3):
                        candidate(*inputs)
                for _ in range(arguments.runs):
                    times[0].append(ours(arguments.build, binary, name.format(int(precision == "bf16"))))
                    for candidate, into in zip(candidates, times[1:]):
                        into.append(theirs(candidate, inputs))
            medians = [statistics.median(t) for t in times]
            flops = operations(function, inputs)
            share = f"{100 * flops / medians[0] / peaks[precision][0]:.0f}%" if flops and peaks[precision] else ""
            cells = [title, precision, milliseconds(medians[0]), share]
            for other in medians[1:]:
                cells += [milliseconds(other), f"{other / medians[0]:.2f}"]
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
