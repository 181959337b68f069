#pragma once

/// Tiles of the f32 matrix product for CPUs with AVX2 and FMA.

#include "flowfar/backend/cpu/kernels/gemm/gemm_portable.hpp"

#if defined(FLOWFAR_AVX2)

#include <immintrin.h>

namespace flowfar::cpu::product {

struct Avx2 {
    static constexpr Index lanes = 8;
    static constexpr int registers = 16;

    template <int Rows, int Vectors>
    FLOWFAR_AVX2 static void tile(const float* a, const float* b, Index ldb, Index depth, float alpha, bool add,
                                  float* c, Index ldc) {
        constexpr auto all = std::make_integer_sequence<int, Rows * Vectors>{};
        __m256 sum[Rows * Vectors];
        clear(sum, all);
        for (Index k = 0; k < depth; ++k) {
            multiply_add<Vectors>(sum, a + k, b + k * ldb, all);
        }
        put<Vectors>(sum, alpha, add, c, ldc, all);
    }

    template <int Rows, int Squares>
    FLOWFAR_AVX2 static void thin_tile(const float* a, const float* b, Index ldb, Index depth, float alpha, bool add,
                                       float* c, Index ldc) {
        constexpr auto all = std::make_integer_sequence<int, Rows * Squares>{};
        constexpr auto square = std::make_integer_sequence<int, Rows* static_cast<int>(lanes)>{};
        __m256 sum[Rows * Squares];
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
                multiply_add<Squares>(sum, a + k, rest.data() + i * Squares * lanes, all);
            }
        }
        put<Squares>(sum, alpha, add, c, ldc, all);
    }

    static void transpose(const float* from, Index from_stride, Index rows, Index columns, float* to, Index to_stride) {
        const Index whole_rows = rows / lanes * lanes;
        const Index whole_columns = columns / lanes * lanes;
        transpose_squares(from, from_stride, whole_rows, whole_columns, to, to_stride);
        constexpr int rest = static_cast<int>(std::min<Index>(Portable::lanes, 4));
        if (whole_columns < columns) {
            Portable::transpose<rest>(from + whole_columns, from_stride, rows, columns - whole_columns,
                                      to + whole_columns * to_stride, to_stride);
        }
        if (whole_rows < rows) {
            Portable::transpose<rest>(from + whole_rows * from_stride, from_stride, rows - whole_rows, whole_columns,
                                      to + whole_rows, to_stride);
        }
    }

   private:
    template <int... I>
    [[gnu::always_inline]] FLOWFAR_AVX2 static inline void clear(__m256 (&sum)[sizeof...(I)],
                                                                 std::integer_sequence<int, I...>) {
        (..., (sum[I] = _mm256_setzero_ps()));
    }

    /// sum += one column of a times one row of b
    template <int Vectors, int... I>
    [[gnu::always_inline]] FLOWFAR_AVX2 static inline void multiply_add(__m256 (&sum)[sizeof...(I)], const float* a,
                                                                        const float* b,
                                                                        std::integer_sequence<int, I...>) {
        (..., (sum[I] = _mm256_fmadd_ps(_mm256_set1_ps(a[I / Vectors * left_stride]),
                                        _mm256_loadu_ps(b + I % Vectors * lanes), sum[I])));
    }

    /// The sums of square number S += `lanes` columns of a times a square of bᵀ
    template <int Rows, int Squares, int S, int... I>
    [[gnu::always_inline]] FLOWFAR_AVX2 static inline void multiply_add_square(__m256 (&sum)[Rows * Squares],
                                                                               const float* a, const float* b,
                                                                               Index ldb,
                                                                               std::integer_sequence<int, I...>) {
        __m256 column[lanes];
        load_square(column, b + S * lanes * ldb, ldb);
        (..., (sum[I % Rows * Squares + S] = _mm256_fmadd_ps(_mm256_set1_ps(a[I % Rows * left_stride + I / Rows]),
                                                             column[I / Rows], sum[I % Rows * Squares + S])));
    }

    /// c (+)= alpha · sum
    template <int Vectors, int... I>
    [[gnu::always_inline]] FLOWFAR_AVX2 static inline void put(const __m256 (&sum)[sizeof...(I)], float alpha, bool add,
                                                               float* c, Index ldc, std::integer_sequence<int, I...>) {
        const __m256 scale = _mm256_set1_ps(alpha);
        if (add) {
            (..., _mm256_storeu_ps(
                      c + I / Vectors * ldc + I % Vectors * lanes,
                      _mm256_fmadd_ps(scale, sum[I], _mm256_loadu_ps(c + I / Vectors * ldc + I % Vectors * lanes))));
        } else {
            (..., _mm256_storeu_ps(c + I / Vectors * ldc + I % Vectors * lanes, _mm256_mul_ps(scale, sum[I])));
        }
    }

    /// Columns First, …, First + 3 of a square, from rows of four elements.
    template <int First>
    [[gnu::always_inline]] FLOWFAR_AVX2 static inline void load_half(__m256 (&column)[lanes], const float* from,
                                                                     Index stride) {
        const __m256 row0 = load_rows(from, stride);
        const __m256 row1 = load_rows(from + stride, stride);
        const __m256 row2 = load_rows(from + 2 * stride, stride);
        const __m256 row3 = load_rows(from + 3 * stride, stride);
        const __m256 low0 = _mm256_unpacklo_ps(row0, row1);
        const __m256 high0 = _mm256_unpackhi_ps(row0, row1);
        const __m256 low1 = _mm256_unpacklo_ps(row2, row3);
        const __m256 high1 = _mm256_unpackhi_ps(row2, row3);
        column[First] = _mm256_shuffle_ps(low0, low1, 0x44);
        column[First + 1] = _mm256_shuffle_ps(low0, low1, 0xEE);
        column[First + 2] = _mm256_shuffle_ps(high0, high1, 0x44);
        column[First + 3] = _mm256_shuffle_ps(high0, high1, 0xEE);
    }
    /// Four elements of this row and of the fourth after it.
    [[gnu::always_inline]] FLOWFAR_AVX2 static inline __m256 load_rows(const float* row, Index stride) {
        return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(row)), _mm_loadu_ps(row + 4 * stride), 1);
    }
    [[gnu::always_inline]] FLOWFAR_AVX2 static inline void load_square(__m256 (&column)[lanes], const float* from,
                                                                       Index stride) {
        load_half<0>(column, from, stride);
        load_half<4>(column, from + 4, stride);
    }

    template <int... I>
    [[gnu::always_inline]] FLOWFAR_AVX2 static inline void store_columns(const __m256 (&column)[lanes], float* to,
                                                                         Index stride,
                                                                         std::integer_sequence<int, I...>) {
        (..., _mm256_storeu_ps(to + I * stride, column[I]));
    }
    FLOWFAR_AVX2 static void transpose_squares(const float* from, Index from_stride, Index rows, Index columns,
                                               float* to, Index to_stride) {
        for (Index row = 0; row < rows; row += lanes) {
            for (Index i = 0; i < columns; i += lanes) {
                __m256 column[lanes];
                load_square(column, from + row * from_stride + i, from_stride);
                store_columns(column, to + i * to_stride + row, to_stride, std::make_integer_sequence<int, lanes>{});
            }
        }
    }
};

}  // namespace flowfar::cpu::product

#endif
