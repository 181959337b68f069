#!/usr/bin/env python3
"""Times PyTorch on the work that benchmarks/cuda/gpu timed and prints one table of ratios.

usage: compare_gpu.py TABLE [--only text] [--no-compile]
       compare_gpu.py --check

TABLE is what benchmarks/cuda/gpu printed on the same device just before. Each row runs PyTorch as it is and with
torch.compile, with the fused attention that PyTorch chooses; ratios above 1 mean that the library is faster, memory is
the most that tensors used at once, weights included. --check runs PyTorch's side on this machine's CPU with small sizes
instead: it shows that the script works, not how fast anything is.
"""

import argparse
import statistics
import sys
import time

import torch
import torch.nn.functional as F

import models

DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16}


def product(sizes, dtype):
    rows, inner, columns = sizes
    layer = torch.nn.Linear(inner, columns, dtype=dtype)
    x = torch.randn(rows, inner, dtype=dtype)
    return [layer], lambda: layer(x)


def attention(sizes, dtype, backward=False):
    q, k, v = (torch.randn(sizes, dtype=dtype, requires_grad=backward) for _ in range(3))
    if not backward:
        return [], lambda: F.scaled_dot_product_attention(q, k, v)
    y = F.scaled_dot_product_attention(q, k, v)
    g = torch.randn_like(y)
    return [], lambda: torch.autograd.grad(y, (q, k, v), g, retain_graph=True)


def flowmo_of(name, dtype):
    # (width, heads, depth) of encoder and decoder: flowmo/config.hpp
    sizes = {"FlowMoLo": (256, 4, 256, 18, 9, (768, 12, 8), (1152, 12, 16)),
             "FlowMoSmall": (256, 8, 256, 18, 9, (768, 12, 8), (768, 12, 16)),
             "tiny": (32, 4, 32, 36, 9, (64, 2, 3), (112, 4, 3))}[name]
    model = models.FlowMo(*sizes).to(dtype)
    for angles in ("encoder_cos", "encoder_sin", "decoder_cos", "decoder_sin"):
        setattr(model, angles, getattr(model, angles).float())
    return model


def flowmo(name, dtype, batch, decodes):
    model = flowmo_of(name, dtype)
    if decodes:
        code = torch.where(torch.randn(batch, model.tokens, model.context) > 0, 1.0, -1.0).to(dtype)
        return [model.decoder], lambda: model.decode(code)
    images = torch.zeros(batch, 3, model.size, model.size, dtype=dtype)
    return [model.encoder], lambda: model.encode(images)


def far(name, dtype, batch):
    # side, channels, buffer, hidden, heads, depth, head's width and depth: far/config.hpp
    sizes = {"FarB": (16, 16, 64, 768, 12, 12, 1024, 6), "FarL": (16, 16, 64, 1024, 16, 16, 1536, 3),
             "tiny": (8, 4, 2, 32, 2, 1, 32, 1)}[name]
    model = models.Far(*sizes).to(dtype)
    labels = torch.full((batch,), 7)
    options = {"levels": (0, 2, 4), "steps": 3} if name == "tiny" else {}
    return [*model.encoder, *model.decoder, model.net], lambda: model.sample(labels, **options)


def training(name, mixed, batch):
    model = flowmo_of(name, torch.float32)
    images = torch.zeros(batch, 3, model.size, model.size)
    return [model.encoder, model.decoder], models.training_step(model, images, mixed, fused=True)


def work_of(name):
    """What a row of the library's table is in PyTorch, as a function that makes (modules to compile, work); None if the
    row has no counterpart."""
    words = name.replace(",", "").split()
    if words[0] == "gemm":
        return lambda: product([int(n) for n in words[2].split("×")], DTYPES[words[1]])
    if words[0] == "attention":
        backward = words[1] == "backward"
        return lambda: attention([int(n) for n in words[-1].split("×")], torch.bfloat16, backward)
    if "training" in words:
        return lambda: training(words[0], words[1] == "mixed", int(words[-1]))
    if words[0].startswith("FlowMo"):
        return lambda: flowmo(words[0], DTYPES[words[1]], int(words[-1]), "decode" in words)
    if words[0].startswith("Far"):
        return lambda: far(words[0], DTYPES[words[1]], int(words[-1]))
    return None


def synchronize():
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def seconds_of(work):
    """As benchmarks/cuda/gpu.cpp measures: the median of five runs of at least 0.1 s."""
    def run(times):
        synchronize()
        start = time.perf_counter()
        for _ in range(times):
            work()
        synchronize()
        return time.perf_counter() - start

    run(2)
    times = max(1, int(0.1 / max(run(1), 1e-7)))
    return statistics.median(run(times) / times for _ in range(5))


def measure(make, compiles):
    """Seconds and peak MiB as it is, and seconds compiled or None."""
    torch.manual_seed(1)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    modules, work = make()
    with torch.no_grad():
        plain = seconds_of(work)
        memory = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
        if not compiles or not modules:
            return plain, memory, None
        for module in modules:
            module.compile(dynamic=False)
        return plain, memory, seconds_of(work)


def check():
    """Runs every kind of work in small, as it is and compiled."""
    for name, make in {"product": lambda: product((8, 16, 24), torch.bfloat16),
                       "attention": lambda: attention((1, 2, 16, 8), torch.bfloat16),
                       "attention backward": lambda: attention((1, 2, 16, 8), torch.float32, True),
                       "encode": lambda: flowmo("tiny", torch.bfloat16, 2, False),
                       "decode": lambda: flowmo("tiny", torch.float32, 2, True),
                       "sample": lambda: far("tiny", torch.bfloat16, 2),
                       "training": lambda: training("tiny", False, 2),
                       "mixed training": lambda: training("tiny", True, 2)}.items():
        plain, _, compiled = measure(make, True)
        print(f"{name}: {1e3 * plain:.3g} ms" + (f", compiled {1e3 * compiled:.3g} ms" if compiled else ""), flush=True)
    names = ["gemm BF16 64×1024×1024 with bias", "attention BF16 1×12×4352×96", "attention backward BF16 1×12×4352×96",
             "FlowMoLo BF16 decode, 25 steps as graphs, batch 32", "FarB BF16 sample, batch 64",
             "FlowMoSmall mixed precision training step, batch 8"]
    missing = [name for name in names if work_of(name) is None]
    sys.exit(f"no work for {missing}" if missing else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?")
    parser.add_argument("--only", default="", help="rows that contain this text")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.check:
        return check()
    if not arguments.table or not torch.cuda.is_available():
        sys.exit("compare_gpu.py: needs the table of benchmarks/cuda/gpu and a GPU that PyTorch can use")
    torch.set_default_device("cuda")
    torch.backends.cuda.matmul.allow_tf32 = False
    print(f"PyTorch {torch.__version__} on {torch.cuda.get_device_name()}\n\n"
          "| work | flowfar, ms | PyTorch, ms | ratio | compiled, ms | ratio | flowfar, MiB | PyTorch, MiB |\n"
          + "|---" * 8 + "|", flush=True)
    known = {}
    for line in open(arguments.table, encoding="utf-8"):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        make = work_of(cells[0]) if len(cells) == 4 else None
        if make is None or arguments.only not in cells[0]:
            continue
        key = cells[0].replace(" as graphs", "")  # PyTorch does the same work for both
        try:
            if key not in known:
                known[key] = measure(make, not arguments.no_compile)
            plain, memory, compiled = known[key]
        except torch.cuda.OutOfMemoryError:
            print(f"| {cells[0]} | {cells[1]} | out of memory | | | | {cells[3]} | |", flush=True)
            continue
        own = float(cells[1])
        rest = f"{1e3 * compiled:.4g} | {1e3 * compiled / own:.2f}" if compiled else " | "
        print(f"| {cells[0]} | {own:.4g} | {1e3 * plain:.4g} | {1e3 * plain / own:.2f} | {rest} | {cells[3]} "
              f"| {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
