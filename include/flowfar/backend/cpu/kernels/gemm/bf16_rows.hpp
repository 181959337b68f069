#pragma once

#include "flowfar/backend/cpu/kernels/gemm/amx.hpp"
#include "flowfar/backend/cpu/kernels/gemm/bf16_kernel.hpp"
#include "flowfar/backend/rows.hpp"

#if defined(FLOWFAR_AVX512_BF16)

namespace flowfar::cpu::bf16_product {

#if !defined(__linux__)
struct TileScope {};
#endif

/// Rows that memory for `rows` packed left rows must have: tile registers read whole tiles.
[[nodiscard]] constexpr Index padded_rows(Index rows) {
    return (rows + 31) / 32 * 32;
}

/// Whether rows of so many elements can be operands that products read where they are: others have zeros to be kept
/// behind them.
[[nodiscard]] constexpr bool can_be_operand(Index inner) {
    return inner > 0 && inner % (2 * lanes) == 0;
}
/// A bf16 tensor's layout in which its rows are packed left rows.
[[nodiscard]] constexpr Layout operand_layout(const Extents& extents) {
    Layout layout = contiguous_layout(extents);
    Index stride = 2 * left_stride(pair_count(extents.back()));
    for (int axis = extents.rank() - 2; axis >= 0; --axis) {
        layout.set_stride(axis, stride);
        stride *= extents[axis];
    }
    return layout;
}
/// Bytes of memory for it; behind the last row there is what tile registers read beyond it.
[[nodiscard]] inline std::size_t operand_bytes(const Extents& extents) {
    const Index rows = row_count(extents) + padded_rows(1);
    return static_cast<std::size_t>(rows * left_stride(pair_count(extents.back()))) * sizeof(Pair);
}

/// Rows of f32 numbers into f32 or bf16 memory.
FLOWFAR_AVX512_BF16 inline void store_row(const float* from, Index count, float* to) {
    Index i = 0;
    for (; i + lanes <= count; i += lanes) {  // masked stores take three times as long on Zen 5, whatever the mask
        _mm512_storeu_ps(to + i, _mm512_loadu_ps(from + i));
    }
    if (i < count) {
        const __mmask16 used = first(count - i);
        _mm512_mask_storeu_ps(to + i, used, _mm512_maskz_loadu_ps(used, from + i));
    }
}
FLOWFAR_AVX512_BF16 inline void store_row(const float* from, Index count, bf16* to) {
    Index i = 0;
    for (; i + lanes <= count; i += lanes) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(from + i)));
    }
    if (i < count) {
        const __mmask16 used = first(count - i);
        _mm256_mask_storeu_epi16(to + i, used, (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(used, from + i)));
    }
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
