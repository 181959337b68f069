#!/usr/bin/env bash
# A tree with one breach of each rule: check.sh must tell these and no others.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

file() { # <path> [<included>…]
    mkdir -p "$tree/$(dirname "$1")"
    { echo "#pragma once" && printf '#include "flowfar/%s"\n' "${@:2}"; } >"$tree/$1"
}
file core/a.hpp nn/b.hpp
file nn/b.hpp config.hpp core/c.hpp
file core/c.hpp core/d.hpp
file core/d.hpp core/c.hpp
file config.hpp version.hpp
file flowfar.hpp core/a.hpp io/e.hpp backend/cuda/cuda.hpp
file io/e.hpp impl/io/e.ipp
file impl/io/e.ipp far/f.hpp
file far/f.ipp core/c.hpp
file backend/cuda/cuda.hpp backend/cpu/runtime/g.hpp
file backend/cpu/kernels/gemm/h.hpp backend/cpu/runtime/g.hpp
file backend/cpu/ops/h.hpp backend/cpu/kernels/gemm/h.hpp
file attic/i.hpp core/c.hpp
for i in {1..16}; do
    file "metrics/m$i.hpp" core/c.hpp
done

expected='attic/i.hpp: attic/i.hpp is in no room of the table
backend/cpu/ops/h.hpp: backend/cpu/kernels/gemm/h.hpp has this name, too
backend/cuda/cuda.hpp includes backend/cpu/runtime/g.hpp: no arrow from backend/cuda to backend/cpu/runtime
circle of includes: -: input contains a loop:
circle of includes: core/c.hpp
circle of includes: core/d.hpp
core/a.hpp includes nn/b.hpp: no arrow from core to nn
far/f.ipp: belongs into impl/
impl/io/e.ipp includes far/f.hpp: no arrow from io to far
./metrics: 16 files; at most 15 fit a folder'
if found=$("$here/check.sh" "$tree" "$here/rooms.txt"); then
    echo "check.sh found nothing"
    exit 1
fi
diff <(echo "$expected" | LC_ALL=C sort) <(echo "$found" | LC_ALL=C sort)
