#pragma once

/// What becomes of the sums of a product with packed operands: bias, residual and gate, and the way to the result.

#include "flowfar/backend/cpu/kernels/gemm/bf16_rows.hpp"
#include "flowfar/backend/cpu/kernels/gemm/gemm.hpp"

#if defined(FLOWFAR_AVX512_BF16)

namespace flowfar::cpu::bf16_product {

/// sums ← residual + gate ∘ sums for rows of 32 sums each, `columns` of them from `column` on in row `row` and the
/// following of a result of `width` columns.
FLOWFAR_AVX512_BF16 inline void add_residual(float* sums, Index row, Index rows, Index column, Index columns,
                                             Index width, const Epilogue& epilogue) {
    const __mmask16 low = first(columns);
    const __mmask16 high = first(columns - lanes);
    for (Index i = 0; i < rows; ++i, sums += panel_columns) {
        __m512 left = _mm512_loadu_ps(sums);
        __m512 right = _mm512_loadu_ps(sums + lanes);
        if (const float* const gate = epilogue.gate.row(row + i); gate != nullptr) {
            left = _mm512_mul_ps(left, _mm512_maskz_loadu_ps(low, gate + column));
            right = _mm512_mul_ps(right, _mm512_maskz_loadu_ps(high, gate + column + lanes));
        }
        const float* const from = epilogue.residual + (row + i) * width + column;
        _mm512_storeu_ps(sums, _mm512_add_ps(left, _mm512_maskz_loadu_ps(low, from)));
        _mm512_storeu_ps(sums + lanes, _mm512_add_ps(right, _mm512_maskz_loadu_ps(high, from + lanes)));
    }
}

/// Rows of 32 sums each into rows `stride` elements apart; with `PastCaches` straight to memory: whole cache lines.
template <bool PastCaches, class T>
FLOWFAR_AVX512_BF16 void store_whole_rows(const float* sums, Index rows, T* to, Index stride) {
    for (Index i = 0; i < rows; ++i, sums += panel_columns, to += stride) {
        const __m512 low = _mm512_loadu_ps(sums);
        const __m512 high = _mm512_loadu_ps(sums + lanes);
        if constexpr (std::is_same_v<T, float>) {
            PastCaches ? _mm512_stream_ps(to, low) : _mm512_storeu_ps(to, low);
            PastCaches ? _mm512_stream_ps(to + lanes, high) : _mm512_storeu_ps(to + lanes, high);
        } else {
            const auto both = (__m512i)_mm512_cvtne2ps_pbh(high, low);
            auto* const line = reinterpret_cast<__m512i*>(to);
            PastCaches ? _mm512_stream_si512(line, both) : _mm512_storeu_si512(line, both);
        }
    }
}
/// The same of the first `columns` of each row; past the caches only where the address allows it.
template <class T>
void store_rows(const float* sums, Index rows, Index columns, T* to, Index stride, bool past_caches) {
    if (columns < panel_columns) {
        for (Index i = 0; i < rows; ++i) {
            store_row(sums + i * panel_columns, columns, to + i * stride);
        }
    } else if (past_caches && has_whole_lines(to, stride)) {
        store_whole_rows<true>(sums, rows, to, stride);
    } else {
        store_whole_rows<false>(sums, rows, to, stride);
    }
}

/// Adds the bias to rows of 32 sums each.
FLOWFAR_AVX512_BF16 inline void add_bias(float* sums, Index rows, Index columns, const float* bias) {
    const __m512 low = _mm512_maskz_loadu_ps(first(columns), bias);
    const __m512 high = _mm512_maskz_loadu_ps(first(columns - lanes), bias + lanes);
    for (Index i = 0; i < rows; ++i, sums += panel_columns) {
        _mm512_storeu_ps(sums, _mm512_add_ps(_mm512_loadu_ps(sums), low));
        _mm512_storeu_ps(sums + lanes, _mm512_add_ps(_mm512_loadu_ps(sums + lanes), high));
    }
}

}  // namespace flowfar::cpu::bf16_product

#endif
