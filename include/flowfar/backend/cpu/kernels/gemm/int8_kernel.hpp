#pragma once

/// Products of 8-bit integers with 32-bit sums, for inference with quantized weights: weights have a scale per output
/// channel, activations one per row, found when they are copied. Both are symmetric, x ≈ scale · q with |q| ≤ 127.
///
/// The instruction multiplies four neighboring signed bytes of one operand with four unsigned ones of the other and
/// adds all to a 32-bit sum, so weights are kept as q + 128, and 128 times the sum of a row's activations is taken off:
///   left   [rows][quads], then in the row's last words 128 · Σ q and the scale's bits
///   right  [panels of 32 columns][quads][32], then 32 scales' bits
/// with zeros up to a multiple of 16 quads. Sums are exact, so an element does not depend on the order of additions; to
/// stay below 2^31 the inner extent is at most `most_inner`.

#include "flowfar/backend/cpu/kernels/gemm/bf16_gemm.hpp"
#include "flowfar/core/memory_pool.hpp"

#if defined(FLOWFAR_AVX512_INT8)

#include <bit>
#include <limits>

namespace flowfar::cpu::int8_product {

using bf16_product::first;
using bf16_product::lanes;
using bf16_product::panel_columns;
using bf16_product::Target;
using bf16_product::tile_rows;

/// Four neighboring bytes.
using Quad = std::uint32_t;

inline constexpr Index most_inner = 65536;

[[nodiscard]] constexpr Index quad_count(Index inner) {
    return (inner + 3) / 4;
}
/// Words of a left row: whole cache lines, an odd number of them, with room for the sum and the scale.
[[nodiscard]] constexpr Index left_words(Index inner) {
    return bf16_product::left_stride(bf16_product::padded(quad_count(inner)) + 1);
}
[[nodiscard]] constexpr Index panel_words(Index inner) {
    return bf16_product::panel_words(quad_count(inner)) + panel_columns;
}

/// 16 elements, zeros after `count`.
FLOWFAR_AVX512_INT8 inline __m512 load(const float* from, Index count) {
    return _mm512_maskz_loadu_ps(first(count), from);
}
FLOWFAR_AVX512_INT8 inline __m512 load(const bf16* from, Index count) {
    const __m256i bits = _mm256_maskz_loadu_epi16(first(count), from);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

/// Quantizes `count` neighboring elements to signed bytes, plus `offset`, and fills up with zeros to a multiple of 16.
/// Gives the scale; `sum` becomes Σ q.
template <class T>
FLOWFAR_AVX512_INT8 float quantize(const T* from, Index count, int offset, std::uint8_t* to, std::int32_t& sum) {
    __m512 most = _mm512_setzero_ps();
    __mmask16 infinite = 0;
    for (Index i = 0; i < count; i += lanes) {
        const __m512 size = _mm512_abs_ps(load(from + i, count - i));
        infinite |= _mm512_cmp_ps_mask(size, _mm512_set1_ps(std::numeric_limits<float>::infinity()), _CMP_NLT_UQ);
        most = _mm512_max_ps(most, size);
    }
    if (infinite != 0) {  // a NaN among them, too: all that comes of this row is NaN
        std::fill_n(to, (count + lanes - 1) / lanes * lanes, std::uint8_t{0});
        sum = 0;
        return std::numeric_limits<float>::quiet_NaN();
    }
    const float largest = _mm512_reduce_max_ps(most);
    const __m512 factor = _mm512_set1_ps(largest > 0.0F ? 127.0F / largest : 0.0F);
    const __m512i shift = _mm512_set1_epi32(offset);
    __m512i sums = _mm512_setzero_si512();
    for (Index i = 0; i < count; i += lanes) {
        const __m512i q = _mm512_cvtps_epi32(_mm512_mul_ps(load(from + i, count - i), factor));  // to nearest, even
        sums = _mm512_add_epi32(sums, q);
        const __m512i stored = _mm512_maskz_add_epi32(first(count - i), q, shift);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), _mm512_cvtepi32_epi8(stored));
    }
    sum = _mm512_reduce_add_epi32(sums);
    return largest / 127.0F;
}

/// Copies `count` elements that are `stride` apart.
template <class T>
void gather(const T* from, Index stride, Index count, float* to) {
    for (Index i = 0; i < count; ++i) {
        to[i] = static_cast<float>(from[i * stride]);
    }
}

/// Copies `rows` rows of a left operand, `inner` elements each.
template <class T>
void pack_left(const View<T>& a, Index rows, Index inner, Quad* to) {
    const Index words = left_words(inner);
    PoolVector<float> line(a.row_major ? 0 : static_cast<std::size_t>(inner));
    for (Index row = 0; row < rows; ++row, to += words) {
        std::fill_n(to + quad_count(inner) / lanes * lanes, words - quad_count(inner) / lanes * lanes, Quad{0});
        std::int32_t sum = 0;
        float scale = 0.0F;
        if (a.row_major) {
            scale = quantize(a.data + row * a.ld, inner, 0, reinterpret_cast<std::uint8_t*>(to), sum);
        } else {
            gather(a.data + row, a.ld, inner, line.data());
            scale = quantize(line.data(), inner, 0, reinterpret_cast<std::uint8_t*>(to), sum);
        }
        to[words - 2] = static_cast<Quad>(128 * sum);
        to[words - 1] = std::bit_cast<Quad>(scale);
    }
}

/// Copies up to 32 columns of a right operand, from `column` on, as one panel.
template <class T>
void pack_panel(const View<T>& b, Index column, Index columns, Index inner, Quad* to) {
    const Index quads = quad_count(inner);
    const Index words = panel_words(inner);
    std::fill_n(to, words, Quad{0});
    PoolVector<float> line(b.row_major ? static_cast<std::size_t>(inner) : 0);
    PoolVector<Quad> bytes(static_cast<std::size_t>(bf16_product::padded(quads)));
    for (Index c = 0; c < std::min(columns, panel_columns); ++c) {
        std::int32_t sum = 0;
        float scale = 0.0F;
        if (b.row_major) {
            gather(b.data + column + c, b.ld, inner, line.data());
            scale = quantize(line.data(), inner, 128, reinterpret_cast<std::uint8_t*>(bytes.data()), sum);
        } else {
            scale =
                quantize(b.data + (column + c) * b.ld, inner, 128, reinterpret_cast<std::uint8_t*>(bytes.data()), sum);
        }
        for (Index q = 0; q < quads; ++q) {
            to[q * panel_columns + c] = bytes[static_cast<std::size_t>(q)];
        }
        to[words - panel_columns + c] = std::bit_cast<Quad>(scale);
    }
}

template <int... R>
[[gnu::always_inline]] FLOWFAR_AVX512_INT8 inline void multiply_add(__m512i (&sums)[2 * sizeof...(R)], const Quad* a,
                                                                    Index stride, __m512i low, __m512i high,
                                                                    std::integer_sequence<int, R...>) {
    (..., (sums[2 * R] = _mm512_dpbusd_epi32(sums[2 * R], low, _mm512_set1_epi32(static_cast<int>(a[R * stride]))),
           sums[2 * R + 1] =
               _mm512_dpbusd_epi32(sums[2 * R + 1], high, _mm512_set1_epi32(static_cast<int>(a[R * stride])))));
}

/// What a row's sums stand for: c = alpha · scale of the row · scales of the columns · (sum − 128 · Σ q).
[[gnu::always_inline]] FLOWFAR_AVX512_INT8 inline void put_row(__m512i low, __m512i high, const Quad* last,
                                                               __m512 low_scales, __m512 high_scales, const Target& to,
                                                               float* c) {
    const __m512i surplus = _mm512_set1_epi32(static_cast<int>(last[0]));
    const __m512 scale = _mm512_set1_ps(to.alpha * std::bit_cast<float>(last[1]));
    _mm512_mask_storeu_ps(
        c, first(to.columns),
        _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(low, surplus)), _mm512_mul_ps(scale, low_scales)));
    _mm512_mask_storeu_ps(
        c + lanes, first(to.columns - lanes),
        _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(high, surplus)), _mm512_mul_ps(scale, high_scales)));
}
template <int... R>
[[gnu::always_inline]] FLOWFAR_AVX512_INT8 inline void put(const __m512i (&sums)[2 * sizeof...(R)], const Quad* a,
                                                           Index stride, const Quad* scales, const Target& to,
                                                           std::integer_sequence<int, R...>) {
    const __m512 low = _mm512_castsi512_ps(_mm512_loadu_si512(scales));
    const __m512 high = _mm512_castsi512_ps(_mm512_loadu_si512(scales + lanes));
    (..., put_row(sums[2 * R], sums[2 * R + 1], a + (R + 1) * stride - 2, low, high, to, to.c + R * to.ldc));
}

/// One tile of `Rows` rows and 32 columns.
template <int Rows>
FLOWFAR_AVX512_INT8 void tile(const Quad* a, Index stride, const Quad* panel, Index inner, const Target& to) {
    constexpr auto rows = std::make_integer_sequence<int, Rows>{};
    __m512i sums[2 * Rows];
    for (__m512i& sum : sums) {
        sum = _mm512_setzero_si512();
    }
    const Index quads = quad_count(inner);
    for (Index q = 0; q < quads; ++q) {
        multiply_add(sums, a + q, stride, _mm512_loadu_si512(panel + q * panel_columns),
                     _mm512_loadu_si512(panel + q * panel_columns + lanes), rows);
    }
    put(sums, a, stride, panel + panel_words(inner) - panel_columns, to, rows);
}

inline constexpr auto tiles = bf16_product::tile_table([]<int Rows>() { return &tile<Rows>; });

/// What sums [rows][32] in tile registers stand for.
FLOWFAR_AVX512_INT8 inline void to_floats(const std::int32_t* sums, Index rows, const Quad* left, const Quad* panel,
                                          Index inner, float alpha, float* to) {
    const Index stride = left_words(inner);
    const Quad* const scales = panel + panel_words(inner) - panel_columns;
    const __m512 low = _mm512_castsi512_ps(_mm512_loadu_si512(scales));
    const __m512 high = _mm512_castsi512_ps(_mm512_loadu_si512(scales + lanes));
    for (Index row = 0; row < rows; ++row, sums += panel_columns, to += panel_columns) {
        put_row(_mm512_loadu_si512(sums), _mm512_loadu_si512(sums + lanes), left + (row + 1) * stride - 2, low, high,
                {to, panel_columns, panel_columns, alpha}, to);
    }
}

}  // namespace flowfar::cpu::int8_product

namespace flowfar::cpu {

struct Int8Kernel {
    using Sum = std::int32_t;
#if defined(__linux__)
    struct Scope : bf16_product::TileScope {
        Scope() : TileScope(bf16_product::AmxTiles::available_for_bytes()) {}
    };
#else
    struct Scope {};
#endif
    static constexpr int copy_kind = 1;

    [[nodiscard]] static Index left_words(Index inner) { return int8_product::left_words(inner); }
    [[nodiscard]] static Index panel_words(Index inner) { return int8_product::panel_words(inner); }
    [[nodiscard]] static Index words(Index inner) { return int8_product::quad_count(inner); }
    template <class T>
    static void pack_left(const View<T>& a, Index rows, Index inner, std::uint32_t* to) {
        int8_product::pack_left(a, rows, inner, to);
    }
    template <class T>
    static void pack_panel(const View<T>& b, Index column, Index columns, Index inner, std::uint32_t* to) {
        int8_product::pack_panel(b, column, columns, inner, to);
    }
#if defined(__linux__)
    [[nodiscard]] static bool has_tiles() { return bf16_product::AmxTiles::available_for_bytes(); }
#endif
    static const float* to_floats(const Sum* sums, Index rows, const std::uint32_t* left, const std::uint32_t* panel,
                                  Index inner, float alpha, float* room) {
        int8_product::to_floats(sums, rows, left, panel, inner, alpha, room);
        return room;
    }
    static void multiply(const std::uint32_t* left, Index rows, const std::uint32_t* panel, Index inner,
                         const bf16_product::Target& to) {
        const Index stride = left_words(inner);
        bf16_product::for_tiles(rows, int8_product::tiles, [&](Index row, auto tile) {
            bf16_product::Target part = to;
            part.c += row * to.ldc;
            tile(left + row * stride, stride, panel, inner, part);
        });
    }
};

/// Products with quantized operands. To be used only where has_avx512_int8() says so, up to most_inner elements.
using Int8Gemm = PackedGemm<Int8Kernel>;

}  // namespace flowfar::cpu

#endif
