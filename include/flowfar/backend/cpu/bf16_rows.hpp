#pragma once

#include "flowfar/backend/cpu/amx.hpp"
#include "flowfar/backend/cpu/bf16_kernel.hpp"

#if defined(FLOWFAR_AVX512_BF16)

namespace flowfar::cpu::bf16_product {

#if !defined(__linux__)
struct TileScope {};
#endif

/// Rows that memory for `rows` packed left rows must have: tile registers read whole tiles.
[[nodiscard]] constexpr Index padded_rows(Index rows) {
    return (rows + 31) / 32 * 32;
}

/// Packed left rows times one packed panel, inside a TileScope: with tile registers if the CPU has them, otherwise by
/// tiles of equal height.
inline void multiply_rows(const Pair* a, Index stride, Index rows, const Pair* panel, Index pairs, Target to) {
    float* const c = to.c;
#if defined(__linux__)
    if (AmxTiles::available()) {
        for (Index row = 0; row < rows; row += amx_rows) {
            to.c = c + row * to.ldc;
            multiply_amx<AmxTiles>(a + row * stride, stride, std::min(amx_rows, rows - row), panel, pairs, to);
        }
        return;
    }
#endif
    for_tiles(rows, tiles, [&](Index row, auto tile) {
        to.c = c + row * to.ldc;
        tile(a + row * stride, stride, panel, pairs, to);
    });
}

}  // namespace flowfar::cpu::bf16_product

#endif
