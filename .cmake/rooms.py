#!/usr/bin/env python3
"""Draws the rooms of include/flowfar and the arrows between them, from the include graph, as the SVG of ARCHITECTURE.md.

    .cmake/rooms.py > examples/pictures/rooms.svg

A room stands above all that it includes. Arrows that follow from others are left out: where a includes b and c, and b
includes c, only a -> b and b -> c are drawn. The front headers include everything and have no arrows.
"""
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent / "include" / "flowfar"
WIDTH, ROW, HEIGHT = 1060, 92, 46
# Where a room stands from left to right, in sixths; a room without a place here shares out what is left.
COLUMNS = {
    "front": 3, "checkpoints": 0.8, "samplers_cuda": 5.1, "far": 0.6, "mar": 1.6, "raster": 2.6, "var": 3.6, "autoregressive": 2.6,
    "flowmo": 4.4, "maskgit": 5.4, "optim": 3.3, "perceptual": 1.5,
    "diffusion": 2.2, "nn": 3.3, "quantize": 4.4, "autodiff": 3.1, "backend/cpu": 4.3, "backend/cuda": 5.4,
    "backend": 4.0, "frequency": 2.7, "metrics": 1.6, "io": 0.5, "text": 0.4, "core": 3,
}
NOTES = {
    "front": "flowfar.hpp tensor.hpp … flowmo.hpp far.hpp io.hpp include everything below",
    "checkpoints": "load, save, token files",
    "samplers_cuda": "CUDA graphs",
    "autoregressive": "sampling loop, head, trainer",
    "backend/cpu": "ops → kernels → runtime",
    "backend/cuda": "ops → kernels → runtime",
    "backend": "concept, reference",
    "core": "tensors, shapes, types, random numbers, errors",
    "io": "images, data, tensors",
    "text": "tokenizer, Unicode",
}


def room(path):
    parts = path.split("/")
    if parts[0] == "impl":
        parts = parts[1:]
    if len(parts) == 1:
        return "front"
    return "/".join(parts[:2]) if parts[0] == "backend" and len(parts) > 2 else parts[0]


def arrows():
    found = {}
    for file in sorted(ROOT.rglob("*")):
        name = file.relative_to(ROOT).as_posix()
        if not file.is_file() or name.endswith((".cpp", ".cu")):  # units know everything
            continue
        source = room(name)
        targets = found.setdefault(source, set())
        for target in re.findall(r'^#include "flowfar/([^"]+)"', file.read_text(encoding="utf-8"), re.M):
            if target not in ("config.hpp", "version.hpp"):
                targets.add(room(target))
    for source, targets in found.items():
        targets.discard(source)
        targets.discard("front")
    found["front"] = {max((name for name in found if name != "front"), key=lambda name: height_of(found)[name])}
    return found


def height_of(graph):
    heights = {}

    def visit(name):
        if name not in heights:
            heights[name] = 1 + max((visit(target) for target in graph.get(name, ())), default=-1)
        return heights[name]

    for name in graph:
        visit(name)
    return heights


def needed(graph):
    """The arrows that do not follow from others."""

    def reach(name):
        out = set()
        for target in graph.get(name, ()):
            out |= {target} | reach(target)
        return out

    for source in sorted(graph):
        for target in sorted(graph[source]):
            if not any(target in reach(other) for other in graph[source] if other != target):
                yield source, target


def main():
    graph = arrows()
    heights = height_of(graph)
    top = max(heights.values())
    place = {}
    for level in range(top + 1):
        names = sorted(name for name in heights if heights[name] == level)
        for i, name in enumerate(names):
            wide = {"front": 560, "core": 380}.get(name, 170)
            column = COLUMNS.get(name, 6 * (i + 0.5) / len(names))
            place[name] = (column * WIDTH / 6, 10 + (top - level) * ROW, wide)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {(top + 1) * ROW}" font-family="sans-serif">',
        '<style>rect{fill:#f4f6fa;stroke:#3b5b92}path{fill:none;stroke:#8a94a6}text{text-anchor:middle;fill:#1c2738}</style>',
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z" style="fill:#8a94a6;stroke:none"/></marker></defs>',
        f'<rect x="0" y="0" width="{WIDTH}" height="{(top + 1) * ROW}" style="fill:#fff;stroke:none"/>',
    ]
    for source, target in needed(graph):
        if source == "front":
            continue
        x1, y1, _ = place[source]
        x2, y2, _ = place[target]
        y1 += HEIGHT
        lines.append(f'<path marker-end="url(#tip)" d="M{x1:.0f},{y1:.0f} C{x1:.0f},{y1 + 34:.0f} {x2:.0f},{y2 - 34:.0f} {x2:.0f},{y2:.0f}"/>')
    for name, (x, y, wide) in place.items():
        note = NOTES.get(name, "")
        lines.append(f'<rect x="{x - wide / 2:.0f}" y="{y:.0f}" width="{wide}" height="{HEIGHT}" rx="6"/>')
        lines.append(f'<text x="{x:.0f}" y="{y + (20 if note else 28):.0f}" font-size="15">{name}</text>')
        if note:
            lines.append(f'<text x="{x:.0f}" y="{y + 37:.0f}" font-size="11">{note}</text>')
    print("\n".join(lines + ["</svg>"]))


main()
