#pragma once

/// The inner part of the f32 matrix product: a register tile of the result, and the copies of its operands into the
/// order in which the tile reads them (Goto & van de Geijn 2008; Van Zee & van de Geijn 2015). This header says which
/// tiles there are; the instruction sets that compute them are policies:
///   lanes, registers                  floats per vector register, and how many such registers there are
///   tile<Rows, Vectors>, thin_tile<Rows, Squares>      as described at `Tile`
///   transpose(from, from_stride, rows, columns, to, to_stride)
///                                     to[column · to_stride + row] = from[row · from_stride + column]
///
/// Every element is the same sequence of operations, wherever it lies in the result and however that is divided among
/// tiles and threads: for each block of `depth_block` products one chain of multiply-adds that starts at zero, then
/// one multiply-add of the chain's end, scaled, onto the result. No element is ever computed by scalar code, which
/// the compiler may round differently: partial tiles are computed whole and stored in part. Hence all instruction sets
/// with fused multiply-adds give the same bits.

#include <algorithm>
#include <array>
#include <utility>

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

#include "flowfar/backend/cpu/runtime/instruction_set.hpp"
#include "flowfar/core/dtype.hpp"

namespace flowfar::cpu::product {

/// Products per chain. The rounding depends on it, so it is the same on all machines.
inline constexpr Index depth_block = 384;
/// Most columns of b that a thread works on at a time: with `depth_block` rows they take less than half of the
/// second-level cache, beside the rows of c that they belong to. Results do not depend on it.
[[nodiscard]] inline Index column_block() {
    static const Index columns = [] {
        constexpr Index unit = 64;
        Index bytes = 0;
#if defined(_SC_LEVEL2_CACHE_SIZE)
        bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);  // not positive where unknown
#endif
        const auto row = static_cast<Index>(depth_block * sizeof(float));
        return std::clamp<Index>(bytes * 7 / 16 / row / unit * unit, 256, 1024);
    }();
    return columns;
}
/// Length of the blocks into which `count` is divided: multiples of `unit`, as equal as can be, at most `most` long.
[[nodiscard]] constexpr Index block_length(Index count, Index most, Index unit) {
    const Index blocks = (count + most - 1) / most;
    return ((count + blocks - 1) / blocks + unit - 1) / unit * unit;
}
/// Distance of the rows of a packed tile of a: whole cache lines, and not a power of two of them.
inline constexpr Index left_stride = depth_block + 16;

/// c[Rows, Vectors · lanes] (+)= alpha · a b over `depth` ≤ depth_block products: (a, b, ldb, depth, alpha, add, c,
/// ldc). Rows of a are `left_stride` apart, rows of c `ldc`. b is row-major with its rows `ldb` apart; for a thin tile
/// it is column-major with its columns `ldb` apart, because for a few rows packing b would take longer than the
/// product.
using Tile = void (*)(const float*, const float*, Index, Index, float, bool, float*, Index);

/// Rows of the tallest tile that is `vectors` wide and stays in registers with a row of b and an element of a.
template <class Isa>
[[nodiscard]] constexpr int tallest(int vectors) {
    return std::max((Isa::registers - 1 - std::max(vectors, 2)) / std::max(vectors, 2), 1);
}
template <class Isa>
inline constexpr int tile_rows = tallest<Isa>(2);
/// Elements of the largest tile.
template <class Isa>
inline constexpr Index tile_floats =
    std::max({2 * tallest<Isa>(2), 4 * tallest<Isa>(4), 8 * tallest<Isa>(8)}) * static_cast<int>(Isa::lanes);

template <class Isa, int Vectors, int... R>
[[nodiscard]] constexpr std::array<Tile, sizeof...(R)> make_tiles(std::integer_sequence<int, R...>) {
    return {&Isa::template tile<R + 1, Vectors>...};
}
/// The tiles of 1, …, tallest(Vectors) rows.
template <class Isa, int Vectors>
inline constexpr auto tiles = make_tiles<Isa, Vectors>(std::make_integer_sequence<int, tallest<Isa>(Vectors)>{});

template <class Isa>
[[nodiscard]] Tile tile_of(Index rows, Index vectors) {
    const auto at = static_cast<std::size_t>(rows - 1);
    return vectors == 8   ? tiles<Isa, 8>[at]
           : vectors == 4 ? tiles<Isa, 4>[at]
           : vectors == 2 ? tiles<Isa, 2>[at]
                          : tiles<Isa, 1>[at];
}

inline constexpr int thin_rows = 4;

/// The thin tiles of 1, …, thin_rows rows.
template <class Isa, int Squares>
inline constexpr std::array<Tile, thin_rows> thin_tiles{
    &Isa::template thin_tile<1, Squares>, &Isa::template thin_tile<2, Squares>, &Isa::template thin_tile<3, Squares>,
    &Isa::template thin_tile<4, Squares>};

template <class Isa>
[[nodiscard]] Tile thin_tile_of(Index rows, Index vectors) {
    const auto at = static_cast<std::size_t>(rows - 1);
    return vectors == 2 ? thin_tiles<Isa, 2>[at] : thin_tiles<Isa, 1>[at];
}

/// Vectors per panel of b for tiles of so many rows: short tiles are wide, to have enough independent chains.
template <class Isa>
[[nodiscard]] constexpr Index panel_vectors(Index rows) {
    return rows <= tallest<Isa>(8) ? 8 : rows <= tallest<Isa>(4) ? 4 : 2;
}
/// Width in columns of the next panel when `columns` are left: a power of two of vectors, and less than one too wide.
template <class Isa>
[[nodiscard]] constexpr Index panel_width(Index vectors, Index columns) {
    while (vectors > 1 && vectors * Isa::lanes >= columns + Isa::lanes) {
        vectors /= 2;
    }
    return vectors * Isa::lanes;
}

}  // namespace flowfar::cpu::product
