#pragma once

/// What becomes of the sums of a product with packed operands, on their way to the result.

#include "flowfar/backend/cpu/kernels/gemm/bf16_rows.hpp"
#include "flowfar/backend/cpu/kernels/gemm/gemm.hpp"

#if defined(FLOWFAR_AVX512_BF16)

namespace flowfar::cpu::bf16_product {

template <Activation A>
[[gnu::always_inline]] FLOWFAR_AVX512_BF16 inline __m512 activated(__m512 x) {
    if constexpr (A == Activation::silu) {
        return vectors::Avx512::value<UnaryOp::silu>(x);
    } else if constexpr (A == Activation::gelu_tanh) {
        return vectors::Avx512::value<UnaryOp::gelu_tanh>(x);
    } else if constexpr (A == Activation::gelu_erf) {
        return vectors::Avx512::value<UnaryOp::gelu_erf>(x);
    } else {
        return x;
    }
}

/// Where a store leaves its line: in the caches, or past them in memory.
enum class Store : std::uint8_t { cached, past_caches };

/// 32 elements of a row to `to`: a whole cache line of bf16, two of f32.
[[gnu::always_inline]] FLOWFAR_AVX512_BF16 inline void store_line(__m512 low, __m512 high, float* to, Store store) {
    if (store == Store::past_caches) {
        _mm512_stream_ps(to, low);
        _mm512_stream_ps(to + lanes, high);
    } else {
        _mm512_storeu_ps(to, low);
        _mm512_storeu_ps(to + lanes, high);
    }
}
[[gnu::always_inline]] FLOWFAR_AVX512_BF16 inline void store_line(__m512 low, __m512 high, bf16* to, Store store) {
    const auto both = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    if (store == Store::past_caches) {
        _mm512_stream_si512(reinterpret_cast<__m512i*>(to), both);
    } else {
        _mm512_storeu_si512(to, both);
    }
}

/// The result of a product: rows `stride` elements apart, of `width` elements each.
template <class T>
struct Result {
    T* data;
    Index stride;
    Index width;
    const Epilogue* epilogue;
    bool past_caches;  ///< where the address allows it
};

/// Finishes rows of 32 sums each, sums [rows, 32], into `result` from `row` and `column` on.
template <Activation A, class T>
FLOWFAR_AVX512_BF16 void finish_rows(const float* sums, Index row, Index rows, Index column, const Result<T>& result) {
    const Epilogue& epilogue = *result.epilogue;
    const Index columns = std::min(panel_columns, result.width - column);
    const __mmask16 left = first(columns);
    const __mmask16 right = first(columns - lanes);
    const __m512 zero = _mm512_setzero_ps();
    const float* const bias = epilogue.bias == nullptr ? nullptr : epilogue.bias + column;
    const __m512 low_bias = bias == nullptr ? zero : _mm512_maskz_loadu_ps(left, bias);
    const __m512 high_bias = bias == nullptr ? zero : _mm512_maskz_loadu_ps(right, bias + lanes);
    T* to = result.data + row * result.stride + column;
    const Store store = result.past_caches && has_whole_lines(to, result.stride) ? Store::past_caches : Store::cached;
    for (Index i = row; i < row + rows; ++i, sums += panel_columns, to += result.stride) {
        __m512 low = _mm512_loadu_ps(sums);
        __m512 high = _mm512_loadu_ps(sums + lanes);
        if (bias != nullptr) {
            low = _mm512_add_ps(low, low_bias);
            high = _mm512_add_ps(high, high_bias);
        }
        low = activated<A>(low);
        high = activated<A>(high);
        if (epilogue.residual != nullptr) {
            if (const float* const gate = epilogue.gate.row(i); gate != nullptr) {
                low = _mm512_mul_ps(low, _mm512_maskz_loadu_ps(left, gate + column));
                high = _mm512_mul_ps(high, _mm512_maskz_loadu_ps(right, gate + column + lanes));
            }
            const float* const before = epilogue.residual + i * result.width + column;
            _mm_prefetch(reinterpret_cast<const char*>(before + panel_columns), _MM_HINT_T0);  // for the next panel
            _mm_prefetch(reinterpret_cast<const char*>(before + panel_columns + lanes), _MM_HINT_T0);
            low = _mm512_add_ps(low, _mm512_maskz_loadu_ps(left, before));
            high = _mm512_add_ps(high, _mm512_maskz_loadu_ps(right, before + lanes));
        }
        if (columns == panel_columns) {
            store_line(low, high, to, store);
        } else {
            alignas(64) float line[panel_columns];
            store_line(low, high, line, Store::cached);
            store_row(line, columns, to);
        }
    }
}
template <class T>
void finish_rows(const float* sums, Index row, Index rows, Index column, const Result<T>& result) {
    switch (result.epilogue->activation) {
        case Activation::none:
            return finish_rows<Activation::none>(sums, row, rows, column, result);
        case Activation::silu:
            return finish_rows<Activation::silu>(sums, row, rows, column, result);
        case Activation::gelu_tanh:
            return finish_rows<Activation::gelu_tanh>(sums, row, rows, column, result);
        case Activation::gelu_erf:
            return finish_rows<Activation::gelu_erf>(sums, row, rows, column, result);
    }
}

}  // namespace flowfar::cpu::bf16_product

#endif
