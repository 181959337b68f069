#pragma once

/// Tiles of the f32 matrix product for CPUs with AVX-512.

#include "flowfar/backend/cpu/kernels/gemm/gemm_avx2.hpp"

#if defined(FLOWFAR_AVX512)

namespace flowfar::cpu::product {

struct Avx512 {
    static constexpr Index lanes = 16;
    static constexpr int registers = 32;

    template <int Rows, int Vectors>
    FLOWFAR_AVX512 static void tile(const float* a, const float* b, Index ldb, Index depth, float alpha, bool add,
                                    float* c, Index ldc) {
        constexpr auto all = std::make_integer_sequence<int, Rows * Vectors>{};
        __m512 sum[Rows * Vectors];
        clear(sum, all);
        const float* twin = a;
        asm("" : "+r"(twin));
        for (Index k = 0; k < depth; ++k) {
            multiply_add<Vectors>(sum, a + k, twin + k, b + k * ldb, all);
        }
        put<Vectors>(sum, alpha, add, c, ldc, all);
    }

    template <int Rows, int Squares>
    FLOWFAR_AVX512 static void thin_tile(const float* a, const float* b, Index ldb, Index depth, float alpha, bool add,
                                         float* c, Index ldc) {
        constexpr auto all = std::make_integer_sequence<int, Rows * Squares>{};
        constexpr auto square = std::make_integer_sequence<int, Rows* static_cast<int>(lanes)>{};
        __m512 sum[Rows * Squares];
        clear(sum, all);
        Index k = 0;
        for (; k + lanes <= depth; k += lanes) {
            multiply_add_square<Rows, Squares, 0>(sum, a + k, b + k, ldb, square);
            if constexpr (Squares == 2) {
                multiply_add_square<Rows, Squares, 1>(sum, a + k, b + k, ldb, square);
            }
        }
        if (k < depth) {
            alignas(64) std::array<float, lanes * lanes * Squares> rest;
            transpose(b + k, ldb, lanes * Squares, depth - k, rest.data(), lanes * Squares);
            for (Index i = 0; k < depth; ++k, ++i) {
                multiply_add<Squares>(sum, a + k, a + k, rest.data() + i * Squares * lanes, all);
            }
        }
        put<Squares>(sum, alpha, add, c, ldc, all);
    }

    static void transpose(const float* from, Index from_stride, Index rows, Index columns, float* to, Index to_stride) {
        const Index whole_rows = rows / lanes * lanes;
        const Index whole_columns = columns / lanes * lanes;
        transpose_squares(from, from_stride, whole_rows, whole_columns, to, to_stride);
        if (whole_columns < columns) {
            Avx2::transpose(from + whole_columns, from_stride, rows, columns - whole_columns,
                            to + whole_columns * to_stride, to_stride);
        }
        if (whole_rows < rows) {
            Avx2::transpose(from + whole_rows * from_stride, from_stride, rows - whole_rows, whole_columns,
                            to + whole_rows, to_stride);
        }
    }

   private:
    template <int... I>
    [[gnu::always_inline]] FLOWFAR_AVX512 static inline void clear(__m512 (&sum)[sizeof...(I)],
                                                                   std::integer_sequence<int, I...>) {
        (..., (sum[I] = _mm512_setzero_ps()));
    }

    /// sum += one column of a times one row of b. `twin` equals a, which the compiler does not know: the two vectors of
    /// most rows read a's element through different pointers, so that each multiply-add broadcasts it from memory
    /// instead of sharing a broadcast of its own. That leaves fewer instructions to a core that another thread is busy
    /// on. The last four rows share theirs, because a core loads two vectors per cycle.
    template <int Vectors, int... I>
    [[gnu::always_inline]] FLOWFAR_AVX512 static inline void multiply_add(__m512 (&sum)[sizeof...(I)], const float* a,
                                                                          const float* twin, const float* b,
                                                                          std::integer_sequence<int, I...>) {
        constexpr int apart = Vectors == 2 ? static_cast<int>(sizeof...(I)) / 2 - 4 : 0;
        (..., (sum[I] = _mm512_fmadd_ps(
                   _mm512_set1_ps((I / Vectors < apart && I % Vectors == 1 ? twin : a)[I / Vectors * left_stride]),
                   _mm512_loadu_ps(b + I % Vectors * lanes), sum[I])));
    }

    /// The sums of square number S += `lanes` columns of a times a square of bᵀ
    template <int Rows, int Squares, int S, int... I>
    [[gnu::always_inline]] FLOWFAR_AVX512 static inline void multiply_add_square(__m512 (&sum)[Rows * Squares],
                                                                                 const float* a, const float* b,
                                                                                 Index ldb,
                                                                                 std::integer_sequence<int, I...>) {
        __m512 column[lanes];
        load_square(column, b + S * lanes * ldb, ldb);
        (..., (sum[I % Rows * Squares + S] = _mm512_fmadd_ps(_mm512_set1_ps(a[I % Rows * left_stride + I / Rows]),
                                                             column[I / Rows], sum[I % Rows * Squares + S])));
    }

    /// c (+)= alpha · sum
    template <int Vectors, int... I>
    [[gnu::always_inline]] FLOWFAR_AVX512 static inline void put(const __m512 (&sum)[sizeof...(I)], float alpha,
                                                                 bool add, float* c, Index ldc,
                                                                 std::integer_sequence<int, I...>) {
        const __m512 scale = _mm512_set1_ps(alpha);
        if (add) {
            (..., _mm512_storeu_ps(
                      c + I / Vectors * ldc + I % Vectors * lanes,
                      _mm512_fmadd_ps(scale, sum[I], _mm512_loadu_ps(c + I / Vectors * ldc + I % Vectors * lanes))));
        } else {
            (..., _mm512_storeu_ps(c + I / Vectors * ldc + I % Vectors * lanes, _mm512_mul_ps(scale, sum[I])));
        }
    }

    /// Columns First, …, First + 7 of a square, from rows of eight elements.
    template <int First>
    [[gnu::always_inline]] FLOWFAR_AVX512 static inline void load_half(__m512 (&column)[lanes], const float* from,
                                                                       Index stride) {
        load_quarter<First>(column, load_rows(from, stride), load_rows(from + stride, stride),
                            load_rows(from + 2 * stride, stride), load_rows(from + 3 * stride, stride));
        const float* const below = from + 8 * stride;
        __m512 lower[lanes];
        load_quarter<0>(lower, load_rows(below, stride), load_rows(below + stride, stride),
                        load_rows(below + 2 * stride, stride), load_rows(below + 3 * stride, stride));
        merge<First>(column, lower, std::make_integer_sequence<int, 4>{});
    }
    /// Eight elements of this row and of the fourth after it.
    [[gnu::always_inline]] FLOWFAR_AVX512 static inline __m512 load_rows(const float* row, Index stride) {
        const __m256d low = _mm256_castps_pd(_mm256_loadu_ps(row));
        const __m256d high = _mm256_castps_pd(_mm256_loadu_ps(row + 4 * stride));
        return _mm512_castpd_ps(_mm512_mask_broadcast_f64x4(_mm512_castpd256_pd512(low), 0xF0, high));
    }
    /// Four elements of each of the columns First + i and First + 4 + i.
    template <int First>
    [[gnu::always_inline]] FLOWFAR_AVX512 static inline void load_quarter(__m512 (&quarter)[lanes], __m512 row0,
                                                                          __m512 row1, __m512 row2, __m512 row3) {
        const __m512 low0 = _mm512_unpacklo_ps(row0, row1);
        const __m512 high0 = _mm512_unpackhi_ps(row0, row1);
        const __m512 low1 = _mm512_unpacklo_ps(row2, row3);
        const __m512 high1 = _mm512_unpackhi_ps(row2, row3);
        quarter[First] = _mm512_shuffle_ps(low0, low1, 0x44);
        quarter[First + 1] = _mm512_shuffle_ps(low0, low1, 0xEE);
        quarter[First + 2] = _mm512_shuffle_ps(high0, high1, 0x44);
        quarter[First + 3] = _mm512_shuffle_ps(high0, high1, 0xEE);
    }
    template <int First, int... I>
    [[gnu::always_inline]] FLOWFAR_AVX512 static inline void merge(__m512 (&column)[lanes],
                                                                   const __m512 (&lower)[lanes],
                                                                   std::integer_sequence<int, I...>) {
        (..., (column[First + 4 + I] = _mm512_shuffle_f32x4(column[First + I], lower[I], 0xDD),
               column[First + I] = _mm512_shuffle_f32x4(column[First + I], lower[I], 0x88)));
    }
    [[gnu::always_inline]] FLOWFAR_AVX512 static inline void load_square(__m512 (&column)[lanes], const float* from,
                                                                         Index stride) {
        load_half<0>(column, from, stride);
        load_half<8>(column, from + 8, stride);
    }

    template <int... I>
    [[gnu::always_inline]] FLOWFAR_AVX512 static inline void store_columns(const __m512 (&column)[lanes], float* to,
                                                                           Index stride,
                                                                           std::integer_sequence<int, I...>) {
        (..., _mm512_storeu_ps(to + I * stride, column[I]));
    }
    FLOWFAR_AVX512 static void transpose_squares(const float* from, Index from_stride, Index rows, Index columns,
                                                 float* to, Index to_stride) {
        for (Index row = 0; row < rows; row += lanes) {
            for (Index i = 0; i < columns; i += lanes) {
                __m512 column[lanes];
                load_square(column, from + row * from_stride + i, from_stride);
                store_columns(column, to + i * to_stride + row, to_stride, std::make_integer_sequence<int, lanes>{});
            }
        }
    }
};

}  // namespace flowfar::cpu::product

#endif
