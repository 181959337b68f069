#pragma once

#include <cmath>
#include <limits>

#include "flowfar/backend/cpu/kernels/gemm/bf16_gemm.hpp"
#include "flowfar/core/shapes/attention_shape.hpp"

#if defined(FLOWFAR_AVX512_BF16)

namespace flowfar::cpu {

namespace bf16_product {

/// 2^x for x ≤ 0, to 3e-7 relative; 0 far below.
[[gnu::always_inline]] FLOWFAR_AVX512_BF16 inline __m512 exp2(__m512 x) {
    const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    const __m512 f = _mm512_sub_ps(x, whole);  // in [−1/2, 1/2]
    // 2^f = Σ (f ln 2)^n / n!
    __m512 y = _mm512_set1_ps(1.3333558e-3F);
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(9.6181291e-3F));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(5.5504109e-2F));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(2.4022651e-1F));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(6.9314718e-1F));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(1.0F));
    return _mm512_scalef_ps(y, whole);
}

/// The largest of count > 0 numbers.
FLOWFAR_AVX512_BF16 inline float largest(const float* x, Index count) {
    const __m512 least = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
    __m512 a = least;  // names, not an array, which the compiler would keep in memory
    __m512 b = least;
    __m512 c = least;
    __m512 d = least;
    Index i = 0;
    for (; i + 4 * lanes <= count; i += 4 * lanes) {
        a = _mm512_max_ps(a, _mm512_loadu_ps(x + i));
        b = _mm512_max_ps(b, _mm512_loadu_ps(x + i + lanes));
        c = _mm512_max_ps(c, _mm512_loadu_ps(x + i + 2 * lanes));
        d = _mm512_max_ps(d, _mm512_loadu_ps(x + i + 3 * lanes));
    }
    for (; i < count; i += lanes) {
        a = _mm512_max_ps(a, _mm512_mask_loadu_ps(least, first(count - i), x + i));
    }
    return _mm512_reduce_max_ps(_mm512_max_ps(_mm512_max_ps(a, b), _mm512_max_ps(c, d)));
}

/// to[i] = 2^(x[i] · factor − peak) as bf16 for i < seen, 0 from there to `width`, a multiple of 32; the sum before
/// rounding.
FLOWFAR_AVX512_BF16 inline float exponentials(const float* x, Index seen, Index width, float factor, float peak,
                                              Pair* to) {
    const __m512 slope = _mm512_set1_ps(factor);
    const __m512 offset = _mm512_set1_ps(peak);
    __m512 even = _mm512_setzero_ps();
    __m512 odd = _mm512_setzero_ps();
    Index i = 0;
    for (; i + 2 * lanes <= seen; i += 2 * lanes) {
        const __m512 low = exp2(_mm512_fmsub_ps(_mm512_loadu_ps(x + i), slope, offset));
        const __m512 high = exp2(_mm512_fmsub_ps(_mm512_loadu_ps(x + i + lanes), slope, offset));
        even = _mm512_add_ps(even, low);
        odd = _mm512_add_ps(odd, high);
        _mm512_storeu_si512(to + i / 2, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
    for (; i < width; i += 2 * lanes) {
        const __mmask16 first_half = first(seen - i);
        const __mmask16 second_half = first(seen - i - lanes);
        const __m512 low = _mm512_maskz_mov_ps(
            first_half, exp2(_mm512_fmsub_ps(_mm512_maskz_loadu_ps(first_half, x + i), slope, offset)));
        const __m512 high = _mm512_maskz_mov_ps(
            second_half, exp2(_mm512_fmsub_ps(_mm512_maskz_loadu_ps(second_half, x + i + lanes), slope, offset)));
        even = _mm512_add_ps(even, low);
        odd = _mm512_add_ps(odd, high);
        _mm512_storeu_si512(to + i / 2, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
    return _mm512_reduce_add_ps(_mm512_add_ps(even, odd));
}

FLOWFAR_AVX512_BF16 inline void scale_row(float* x, Index count, float factor) {
    for (Index i = 0; i < count; i += lanes) {
        const __mmask16 used = first(count - i);
        _mm512_mask_storeu_ps(x + i, used, _mm512_mul_ps(_mm512_maskz_loadu_ps(used, x + i), _mm512_set1_ps(factor)));
    }
}

}  // namespace bf16_product

/// Attention by blocks with an online softmax, as `Attention`, with products of bf16 numbers and f32 sums; keys and
/// values are copied once into the order of the products. To be used only where has_avx512_bf16() says so.
class Bf16Attention {
   public:
    static constexpr Index query_block = 8 * bf16_product::tile_rows;
    static constexpr Index key_block = 512;

    /// q [batch, heads, queries, D], k and v [batch, key heads, keys, D]: f32 or bf16, with dense rows.
    Bf16Attention(const Handle& q, const Handle& k, const Handle& v, const AttentionShape& shape, double scale)
        : q_(q),
          k_(k),
          v_(v),
          s_(shape),
          scale_(scale),
          key_size_(bf16_product::panel_count(s_.keys) * bf16_product::panel_words(bf16_product::pair_count(s_.width))),
          value_size_(bf16_product::panel_count(s_.width) *
                      bf16_product::panel_words(bf16_product::pair_count(s_.keys))) {}

    /// Writes out, f32 or bf16 with dense rows, and the log-sum-exp [batch, heads, queries] of the scaled logits.
    void forward(const Handle& out, float* log_sum_exp) const {
        using namespace bf16_product;
        const Words keys(s_.key_pairs() * key_size_);
        const Words values(s_.key_pairs() * value_size_);
        pack(keys.data(), values.data());
        const Index blocks = (s_.queries + query_block - 1) / query_block;
        parallel_for(s_.pairs() * blocks, 1, [&](Index begin, Index end) {
            const TileScope tiles;
            const Block block(s_.width);
            for (Index task = begin; task < end; ++task) {
                const Index pair = task / blocks;
                const Index row = task % blocks * query_block;
                forward_block(block, pair, row, std::min(query_block, s_.queries - row),
                              keys.data() + s_.key_pair(pair) * key_size_,
                              values.data() + s_.key_pair(pair) * value_size_, out,
                              log_sum_exp + pair * s_.queries + row);
            }
        });
    }

   private:
    /// One task's memory.
    struct Block {
        explicit Block(Index depth)
            : query(bf16_product::padded_rows(query_block) *
                    bf16_product::left_stride(bf16_product::pair_count(depth))),
              logit(query_block * key_block),
              weight(bf16_product::padded_rows(query_block) * bf16_product::left_stride(key_block / 2)),
              sum(query_block * depth) {}
        bf16_product::Words query;
        bf16_product::Words logit;
        bf16_product::Words weight;
        bf16_product::Words sum;
    };

    void pack(bf16_product::Pair* keys, bf16_product::Pair* values) const {
        using namespace bf16_product;
        const Index key_panels = panel_count(s_.keys);
        const Index value_panels = panel_count(s_.width);
        parallel_for(s_.key_pairs(), 1, [&](Index begin, Index end) {
            for (Index pair = begin; pair < end; ++pair) {
                with_view(k_, s_.key_offset(k_, pair), [&](auto matrix) {
                    matrix = {matrix.data, k_.layout.stride(2), false};  // transposed: depth × keys
                    for (Index panel = 0; panel < key_panels; ++panel) {
                        const Index column = panel * panel_columns;
                        pack_panel(matrix, column, s_.keys - column, s_.width,
                                   keys + pair * key_size_ + panel * panel_words(pair_count(s_.width)));
                    }
                });
                with_view(v_, s_.key_offset(v_, pair), [&](auto matrix) {
                    matrix = {matrix.data, v_.layout.stride(2), true};
                    for (Index panel = 0; panel < value_panels; ++panel) {
                        const Index column = panel * panel_columns;
                        pack_panel(matrix, column, s_.width - column, s_.keys,
                                   values + pair * value_size_ + panel * panel_words(pair_count(s_.keys)));
                    }
                });
            }
        });
    }

    void forward_block(const Block& block, Index pair, Index qb, Index nq, const bf16_product::Pair* keys,
                       const bf16_product::Pair* values, const Handle& out, float* log_sum_exp) const {
        using namespace bf16_product;
        const auto factor = static_cast<float>(scale_ / std::log(2.0));
        auto* const logit = reinterpret_cast<float*>(block.logit.data());
        auto* const sum = reinterpret_cast<float*>(block.sum.data());
        const Index query_stride = left_stride(pair_count(s_.width));
        const Index weight_stride = left_stride(key_block / 2);
        with_view(q_, s_.offset(q_, pair), [&](auto matrix) {
            matrix = {matrix.data + qb * q_.layout.stride(2), q_.layout.stride(2), true};
            pack_left(matrix, nq, s_.width, block.query.data());
        });
        std::array<float, query_block> peak;  // of the logits times `factor`
        std::array<float, query_block> total{};
        peak.fill(-std::numeric_limits<float>::infinity());
        for (Index kb = 0; kb < s_.keys; kb += key_block) {
            const Index nk = std::min(key_block, s_.keys - kb);
            if (kb > 0 && s_.visible(pair, qb + nq - 1, kb, nk) == 0) {
                break;
            }
            for (Index column = 0; column < nk; column += panel_columns) {
                multiply_rows(block.query.data(), query_stride, nq,
                              keys + (kb + column) / panel_columns * panel_words(pair_count(s_.width)),
                              pair_count(s_.width), {logit + column, key_block, panel_columns});
            }
            const Index width = panel_count(nk) * panel_columns;
            for (Index i = 0; i < nq; ++i) {
                const auto n = static_cast<std::size_t>(i);
                const Index seen = s_.visible(pair, qb + i, kb, nk);
                const float* const row = logit + i * key_block;
                const float before = peak[n];
                if (seen > 0) {
                    // A negative factor turns the order of the logits around; its models are not ours, but may exist.
                    peak[n] =
                        std::max(before, factor >= 0.0F ? largest(row, seen) * factor : extreme(row, seen, factor));
                }
                const float part = exponentials(row, seen, width, factor, seen > 0 ? peak[n] : 0.0F,
                                                block.weight.data() + i * weight_stride);
                if (kb > 0 && before != peak[n]) {
                    const float correction = std::exp2(before - peak[n]);
                    total[n] *= correction;
                    scale_row(sum + i * s_.width, s_.width, correction);
                }
                total[n] += part;
            }
            for (Index panel = 0; panel < panel_count(s_.width); ++panel) {
                const Index column = panel * panel_columns;
                multiply_rows(block.weight.data(), weight_stride, nq,
                              values + panel * panel_words(pair_count(s_.keys)) + kb / 2 * panel_columns,
                              pair_count(nk),
                              {sum + column, s_.width, std::min(panel_columns, s_.width - column), 1.0F, kb > 0});
            }
        }
        for (Index i = 0; i < nq; ++i) {
            const auto n = static_cast<std::size_t>(i);
            const bool blind = peak[n] == -std::numeric_limits<float>::infinity();
            scale_row(sum + i * s_.width, s_.width, blind ? 0.0F : 1.0F / total[n]);
            log_sum_exp[i] = peak[n] * static_cast<float>(std::log(2.0)) + std::log(total[n]);
            const Index to = s_.offset(out, pair) + (qb + i) * out.layout.stride(2);
            if (out.dtype == DType::bf16) {
                store_row(sum + i * s_.width, s_.width, out.data<bf16>() + to);
            } else {
                store_row(sum + i * s_.width, s_.width, out.data<float>() + to);
            }
        }
    }

    [[nodiscard]] static float extreme(const float* x, Index count, float factor) {
        float peak = -std::numeric_limits<float>::infinity();
        for (Index i = 0; i < count; ++i) {
            peak = std::max(peak, x[i] * factor);
        }
        return peak;
    }

    const Handle& q_;
    const Handle& k_;
    const Handle& v_;
    AttentionShape s_;
    double scale_;
    Index key_size_;
    Index value_size_;
};

}  // namespace flowfar::cpu

#endif
