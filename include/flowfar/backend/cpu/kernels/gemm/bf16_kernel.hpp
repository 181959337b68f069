#pragma once

/// The inner part of products of bf16 matrices with f32 sums: a register tile of the result, and the copies of its
/// operands into the order in which the tile reads them. Operands may be f32 in memory; they are rounded to bf16 when
/// they are copied.
///
/// The instruction multiplies *pairs* of neighboring inner elements and adds both products to one f32 sum, so both
/// copies keep pairs together, as 32-bit words:
///   left   [rows][pairs], rows `left_stride` words apart
///   right  [panels of 32 columns][pairs][32], panels `panel_words` apart
/// with zeros up to a multiple of 16 pairs, which tile registers (amx.hpp) take at a time.
/// An element of the result is one chain of such steps over the whole inner extent, wherever it lies: its bits do not
/// depend on the other rows and columns.

#include "flowfar/backend/cpu/kernels/gemm/matrix_view.hpp"
#include "flowfar/backend/cpu/runtime/instruction_set.hpp"

#if defined(FLOWFAR_AVX512_BF16)

#include <algorithm>
#include <array>
#include <cstdint>
#include <immintrin.h>
#include <utility>

#include "flowfar/core/dtype.hpp"

namespace flowfar::cpu::bf16_product {

/// Two neighboring bf16 numbers.
using Pair = std::uint32_t;

inline constexpr int lanes = 16;
inline constexpr Index panel_columns = 2 * lanes;
inline constexpr int tile_rows = 14;

[[nodiscard]] constexpr Index pair_count(Index inner) {
    return (inner + 1) / 2;
}
[[nodiscard]] constexpr Index panel_count(Index columns) {
    return (columns + panel_columns - 1) / panel_columns;
}
/// Pairs that packed operands have room for.
[[nodiscard]] constexpr Index padded(Index pairs) {
    return (pairs + lanes - 1) / lanes * lanes;
}
/// Distance of packed left rows: whole cache lines and, so that a tile's rows fall into different sets, an odd number.
[[nodiscard]] constexpr Index left_stride(Index pairs) {
    return (padded(pairs) / lanes | 1) * lanes;
}
/// Words of a packed panel.
[[nodiscard]] constexpr Index panel_words(Index pairs) {
    return padded(pairs) * panel_columns;
}

/// Where a tile's sums go: c[rows, columns ≤ 32] = alpha · sums, or c += alpha · sums.
struct Target {
    float* c;
    Index ldc;
    Index columns;
    float alpha = 1.0F;
    bool add = false;
};

/// Bytes of a result that third-level caches may still hold when it is read. A larger one goes straight to memory,
/// which spares reading its cache lines before they are written; then _mm_sfence() makes it visible to other threads.
inline constexpr Index most_cached = Index{3} << 23;

/// Whether rows `stride` elements apart from `to` on are whole cache lines.
template <class T>
[[nodiscard]] bool has_whole_lines(const T* to, Index stride) {
    return (reinterpret_cast<std::uintptr_t>(to) | static_cast<std::uintptr_t>(stride) * sizeof(T)) % 64 == 0;
}

FLOWFAR_AVX512_BF16 inline __mmask16 first(Index count) {
    return static_cast<__mmask16>((1U << std::clamp<Index>(count, 0, lanes)) - 1U);
}

template <int... R>
[[gnu::always_inline]] FLOWFAR_AVX512_BF16 inline void multiply_add(__m512 (&sums)[2 * sizeof...(R)], const Pair* a,
                                                                    Index stride, __m512bh low, __m512bh high,
                                                                    std::integer_sequence<int, R...>) {
    (...,
     (sums[2 * R] = _mm512_dpbf16_ps(sums[2 * R], (__m512bh)(_mm512_set1_epi32(static_cast<int>(a[R * stride]))), low),
      sums[2 * R + 1] =
          _mm512_dpbf16_ps(sums[2 * R + 1], (__m512bh)(_mm512_set1_epi32(static_cast<int>(a[R * stride]))), high)));
}

template <int... R>
[[gnu::always_inline]] FLOWFAR_AVX512_BF16 inline void put(const __m512 (&sums)[2 * sizeof...(R)], const Target& to,
                                                           std::integer_sequence<int, R...>) {
    const __mmask16 low = first(to.columns);
    const __mmask16 high = first(to.columns - lanes);
    const __m512 alpha = _mm512_set1_ps(to.alpha);
    if (to.add) {
        (...,
         (_mm512_mask_storeu_ps(to.c + R * to.ldc, low,
                                _mm512_fmadd_ps(alpha, sums[2 * R], _mm512_maskz_loadu_ps(low, to.c + R * to.ldc))),
          _mm512_mask_storeu_ps(
              to.c + R * to.ldc + lanes, high,
              _mm512_fmadd_ps(alpha, sums[2 * R + 1], _mm512_maskz_loadu_ps(high, to.c + R * to.ldc + lanes)))));
    } else if (to.columns >= 2 * lanes) {  // masked stores take three times as long on Zen 5, whatever the mask
        (..., (_mm512_storeu_ps(to.c + R * to.ldc, _mm512_mul_ps(alpha, sums[2 * R])),
               _mm512_storeu_ps(to.c + R * to.ldc + lanes, _mm512_mul_ps(alpha, sums[2 * R + 1]))));
    } else {
        (..., (_mm512_mask_storeu_ps(to.c + R * to.ldc, low, _mm512_mul_ps(alpha, sums[2 * R])),
               _mm512_mask_storeu_ps(to.c + R * to.ldc + lanes, high, _mm512_mul_ps(alpha, sums[2 * R + 1]))));
    }
}

/// One tile of `Rows` rows and 32 columns: packed left rows times one packed panel, over `pairs` pairs.
template <int Rows>
FLOWFAR_AVX512_BF16 void tile(const Pair* a, Index stride, const Pair* panel, Index pairs, const Target& to) {
    constexpr auto rows = std::make_integer_sequence<int, Rows>{};
    __m512 sums[2 * Rows];
    for (__m512& sum : sums) {
        sum = _mm512_setzero_ps();
    }
    for (Index p = 0; p < pairs; ++p) {
        multiply_add(sums, a + p, stride, (__m512bh)_mm512_loadu_si512(panel + p * panel_columns),
                     (__m512bh)_mm512_loadu_si512(panel + p * panel_columns + lanes), rows);
    }
    put(sums, to, rows);
}

/// f.operator()<1>() … f.operator()<tile_rows>(): the tiles of 1 to tile_rows rows.
template <class F>
[[nodiscard]] constexpr auto tile_table(F f) {
    return [&]<int... R>(std::integer_sequence<int, R...>) {
        return std::array { f.template operator()<R + 1>()... };
    }(std::make_integer_sequence<int, tile_rows>{});
}
/// Calls f(first row, tile) for as many tiles of a table as rows need, of heights as equal as possible.
template <class Table, class F>
void for_tiles(Index rows, const Table& table, F&& f) {
    const Index tiles = (rows + tile_rows - 1) / tile_rows;
    for (Index t = 0; t < tiles; ++t) {
        const Index row = rows * t / tiles;
        f(row, table[static_cast<std::size_t>(rows * (t + 1) / tiles - row - 1)]);
    }
}

inline constexpr auto tiles = tile_table([]<int Rows>() { return &tile<Rows>; });

/// Up to 32 neighboring elements as bf16, zeros after them.
FLOWFAR_AVX512_BF16 inline __m512i load(const float* from, Index count) {
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(first(count - lanes), from + lanes),
                                        _mm512_maskz_loadu_ps(first(count), from));
}
FLOWFAR_AVX512_BF16 inline __m512i load(const bf16* from, Index count) {
    const Index used = std::clamp<Index>(count, 0, 2 * lanes);
    return _mm512_maskz_loadu_epi16(static_cast<__mmask32>((std::uint64_t{1} << used) - 1U), from);
}

/// 16 bf16 numbers and 16 others to pairs of the first, the second, … of both.
[[gnu::always_inline]] FLOWFAR_AVX512_BF16 inline __m512i zip(__m512i both) {
    const __m512i even = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(both));
    const __m512i odd = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(both, 1));
    return _mm512_or_si512(even, _mm512_slli_epi32(odd, 16));
}

/// Pairs (upper[i], lower[i]) of 16 columns of two rows, zeros where the masks say so.
[[gnu::always_inline]] FLOWFAR_AVX512_BF16 inline __m512i interleave(const float* upper, __mmask16 above,
                                                                     const float* lower, __mmask16 below) {
    return zip((__m512i)_mm512_cvtne2ps_pbh(_mm512_maskz_loadu_ps(below, lower), _mm512_maskz_loadu_ps(above, upper)));
}
[[gnu::always_inline]] FLOWFAR_AVX512_BF16 inline __m512i interleave(const bf16* upper, __mmask16 above,
                                                                     const bf16* lower, __mmask16 below) {
    const __m512i even = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(above, upper));
    const __m512i odd = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(below, lower));
    return _mm512_or_si512(even, _mm512_slli_epi32(odd, 16));
}
/// The first `count` columns; `lower` may be absent: zeros.
template <class T>
FLOWFAR_AVX512_BF16 __m512i interleave(const T* upper, const T* lower, Index count) {
    const __mmask16 used = first(count);
    return interleave(upper, used, lower == nullptr ? upper : lower, lower == nullptr ? __mmask16{0} : used);
}

/// Transposes 16 vectors of 16 words in place: first 4×4 blocks inside the 128-bit quarters, then the quarters.
FLOWFAR_AVX512_BF16 inline void transpose(__m512i (&v)[lanes]) {
    __m512i t[lanes];
    for (int i = 0; i < lanes; i += 2) {
        t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    for (int i = 0; i < lanes; i += 4) {
        v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(v[i], v[i + 4], 0xDD);
        t[i + 8] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(v[i + 8], v[i + 12], 0xDD);
    }
    for (int i = 0; i < 4; ++i) {
        v[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        v[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        v[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xDD);
        v[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xDD);
    }
}

/// Copies `rows` rows of a left operand, `inner` elements each.
template <class T>
FLOWFAR_AVX512_BF16 void pack_left(const View<T>& a, Index rows, Index inner, Pair* to) {
    const Index pairs = pair_count(inner);
    const Index stride = left_stride(pairs);
    if (a.row_major) {
        for (Index row = 0; row < rows; ++row) {
            for (Index p = 0; p < pairs; p += lanes) {
                _mm512_storeu_si512(to + row * stride + p, load(a.data + row * a.ld + 2 * p, inner - 2 * p));
            }
        }
        return;
    }
    for (Index row = 0; row < rows; row += lanes) {
        for (Index p = 0; p < pairs; p += lanes) {
            __m512i words[lanes];
            for (Index i = 0; i < lanes; ++i) {
                const Index k = 2 * (p + i);
                const T* const from = a.data + k * a.ld + row;
                words[i] = k < inner ? interleave(from, k + 1 < inner ? from + a.ld : nullptr, rows - row)
                                     : _mm512_setzero_si512();
            }
            transpose(words);
            for (Index i = 0; i < std::min<Index>(lanes, rows - row); ++i) {
                _mm512_storeu_si512(to + (row + i) * stride + p, words[i]);
            }
        }
    }
}

/// Copies up to 32 columns of a right operand, from `column` on, as one panel.
template <class T>
FLOWFAR_AVX512_BF16 void pack_panel(const View<T>& b, Index column, Index columns, Index inner, Pair* to) {
    const Index pairs = pair_count(inner);
    for (Index half = 0; half < panel_columns; half += lanes) {
        const Index used = std::clamp<Index>(columns - half, 0, lanes);
        if (b.row_major) {
            for (Index p = 0; p < pairs; ++p) {
                const T* const from = b.data + 2 * p * b.ld + column + half;
                _mm512_storeu_si512(to + p * panel_columns + half,
                                    interleave(from, 2 * p + 1 < inner ? from + b.ld : nullptr, used));
            }
            for (Index p = pairs; p < padded(pairs); ++p) {
                _mm512_storeu_si512(to + p * panel_columns + half, _mm512_setzero_si512());
            }
            continue;
        }
        for (Index p = 0; p < pairs; p += lanes) {
            __m512i words[lanes];
            for (Index i = 0; i < lanes; ++i) {
                words[i] = i < used ? load(b.data + (column + half + i) * b.ld + 2 * p, inner - 2 * p)
                                    : _mm512_setzero_si512();
            }
            transpose(words);
            for (Index i = 0; i < lanes; ++i) {
                _mm512_storeu_si512(to + (p + i) * panel_columns + half, words[i]);
            }
        }
    }
}

}  // namespace flowfar::cpu::bf16_product

#endif
