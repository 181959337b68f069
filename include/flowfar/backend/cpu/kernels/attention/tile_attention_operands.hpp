#pragma once

/// What attention on tile registers (tile_attention.hpp) reads, and its exponential.

#include "flowfar/backend/cpu/kernels/gemm/bf16_rows.hpp"

#if defined(FLOWFAR_AVX512_BF16) && defined(__linux__)

namespace flowfar::cpu::bf16_product {

/// 2^x to 2e-7 relative; 0 far below, infinity from 128 on.
[[gnu::always_inline]] FLOWFAR_AVX512_BF16 inline __m512 power_of_2(__m512 x) {
    const __m512 f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);  // x − ⌊x⌋
    __m512 y = _mm512_set1_ps(1.8775766e-3F);
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(8.9893406e-3F));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(5.5826317e-2F));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(2.4015362e-1F));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(6.9315307e-1F));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(9.9999993e-1F));
    return _mm512_scalef_ps(y, x);  // y 2^⌊x⌋
}

/// total += 2^(score · factor − peak) of a row of 32 scores, 16 of them `apart` from the others; with `Masked`, of the
/// first `seen`. Weights are rounded half up, by instructions that do not compete with those for f32 numbers.
template <bool Masked>
[[gnu::always_inline]] FLOWFAR_AVX512_BF16 inline __m512 attention_weights(const float* scores, Index apart, Index seen,
                                                                           __m512 factor, __m512 peak, Pair* to,
                                                                           __m512 total) {
    __m512 low = power_of_2(_mm512_fmsub_ps(_mm512_loadu_ps(scores), factor, peak));
    __m512 high = power_of_2(_mm512_fmsub_ps(_mm512_loadu_ps(scores + apart), factor, peak));
    if constexpr (Masked) {
        low = _mm512_maskz_mov_ps(first(seen), low);
        high = _mm512_maskz_mov_ps(first(seen - lanes), high);
    }
    const __m512i half = _mm512_set1_epi32(0x8000);
    const __m512i upper = _mm512_add_epi32(_mm512_castps_si512(high), half);
    const __m512i lower = _mm512_bsrli_epi128(_mm512_add_epi32(_mm512_castps_si512(low), half), 2);
    _mm512_storeu_si512(to, _mm512_mask_blend_epi16(0xAAAAAAAAU, lower, upper));
    return _mm512_add_ps(total, _mm512_add_ps(low, high));
}

/// Copies up to 32 columns of values [keys, depth], from `column` on, as a panel: words have keys i and i + 16 of 32,
/// as in the panels of weights. That order costs less to make from f32 vectors than neighbors.
template <class T>
FLOWFAR_AVX512_BF16 void pack_values(const View<T>& values, Index column, Index columns, Index keys, Pair* to) {
    for (Index first_key = 0; first_key < keys; first_key += 2 * lanes) {
        for (Index key = first_key; key < first_key + lanes; ++key, to += panel_columns) {
            const T* const upper = values.data + key * values.ld + column;
            const bool absent = key + lanes >= keys;
            for (Index half = 0; half < panel_columns; half += lanes) {
                _mm512_storeu_si512(to + half,
                                    key >= keys
                                        ? _mm512_setzero_si512()
                                        : interleave(upper + half, absent ? nullptr : upper + half + lanes * values.ld,
                                                     columns - half));
            }
        }
    }
}

/// One head's packed operands.
struct AttentionHead {
    const Pair* keys;    ///< panels of 32 keys: depth × keys
    const Pair* values;  ///< panels of pack_values()
    Index key_count;
    Index depth;
    float factor;  ///< weights are 2^(score · factor) / Σ
};

}  // namespace flowfar::cpu::bf16_product

#endif
