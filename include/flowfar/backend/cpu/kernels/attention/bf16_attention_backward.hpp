#pragma once

#include <cmath>

#include "flowfar/backend/cpu/kernels/attention/bf16_attention.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/shapes/attention_shape.hpp"

#if defined(FLOWFAR_AVX512_BF16)

namespace flowfar::cpu {

namespace bf16_product {

/// From logits s and products d = g · v of one query: p = 2^(s · factor − peak) and scale · p (d − delta), for i <
/// seen; zeros from there to `count`.
FLOWFAR_AVX512_BF16 inline void attention_slopes(float* s, float* d, Index seen, Index count, float factor, float peak,
                                                 float scale, float delta) {
    for (Index i = 0; i < count; i += lanes) {
        const __mmask16 here = first(count - i);
        const __mmask16 used = first(seen - i);
        const __m512 exponent =
            _mm512_fmsub_ps(_mm512_maskz_loadu_ps(used, s + i), _mm512_set1_ps(factor), _mm512_set1_ps(peak));
        const __m512 p = _mm512_maskz_mov_ps(used, exp2(exponent));
        const __m512 distance = _mm512_sub_ps(_mm512_maskz_loadu_ps(used, d + i), _mm512_set1_ps(delta));
        _mm512_mask_storeu_ps(s + i, here, p);
        _mm512_mask_storeu_ps(d + i, here, _mm512_mul_ps(_mm512_mul_ps(p, distance), _mm512_set1_ps(scale)));
    }
}

}  // namespace bf16_product

/// The gradient of attention as `Attention::backward` computes it, block by block from the log-sum-exp, with products
/// of bf16 numbers and f32 sums. All operands are f32 views [batch, heads, tokens, D] with dense rows. Each (batch,
/// head of keys) is one task, so the sums have a fixed order. To be used only where has_avx512_bf16() says so.
class Bf16AttentionBackward {
   public:
    static constexpr Index query_block = 128;
    static constexpr Index key_block = 512;

    Bf16AttentionBackward(const Handle& q, const Handle& k, const Handle& v, const AttentionShape& shape, double scale)
        : q_(q), k_(k), v_(v), s_(shape), depth_pairs_(bf16_product::pair_count(s_.width)), scale_(scale) {}

    void operator()(const Handle& out, const float* log_sum_exp, const Handle& g, const Handle& dq, const Handle& dk,
                    const Handle& dv) const {
        parallel_for(s_.key_pairs(), 1, [&](Index begin, Index end) {
            const bf16_product::TileScope tiles;
            const Task task(*this);
            for (Index pair = begin * s_.group(); pair < end * s_.group(); ++pair) {
                one(task, pair, out, log_sum_exp + pair * s_.queries, g, dq, dk, dv);
            }
        });
    }

   private:
    using Words = bf16_product::Words;

    /// A thread's memory: the operands of one head as right operands, and blocks of left ones.
    struct Task {
        explicit Task(const Bf16AttentionBackward& a)
            : keys_by_depth(panels(a.s_.keys, a.depth_pairs_)),
              values_by_depth(panels(a.s_.keys, a.depth_pairs_)),
              keys(panels(a.s_.width, bf16_product::pair_count(a.s_.keys))),
              queries(panels(a.s_.width, bf16_product::pair_count(a.s_.queries))),
              gradients(panels(a.s_.width, bf16_product::pair_count(a.s_.queries))),
              left(left_words(a.depth_pairs_)),
              weight(query_block * key_block),
              slope(query_block * key_block) {}

        static Index panels(Index columns, Index pairs) {
            return bf16_product::panel_count(columns) * bf16_product::panel_words(pairs);
        }
        /// Room for a block of queries or keys, whatever the inner extent is.
        static Index left_words(Index depth_pairs) {
            using namespace bf16_product;
            return std::max({padded_rows(query_block) * left_stride(depth_pairs),
                             padded_rows(query_block) * left_stride(key_block / 2),
                             padded_rows(key_block) * left_stride(query_block / 2)});
        }

        Words keys_by_depth;    ///< depth × keys
        Words values_by_depth;  ///< depth × keys
        Words keys;             ///< keys × depth
        Words queries;          ///< queries × depth
        Words gradients;        ///< queries × depth
        Words left;
        Words weight;  ///< f32 [queries, keys] of a block: logits, then attention weights
        Words slope;   ///< the same: products of gradients and values, then the logits' gradients
    };

    [[nodiscard]] float* rows(const Handle& h, Index pair) const { return h.data<float>() + s_.offset(h, pair); }
    [[nodiscard]] float* key_rows(const Handle& h, Index pair) const {
        return h.data<float>() + s_.key_offset(h, s_.key_pair(pair));
    }

    static void pack(const View<float>& b, Index inner, Index columns, const Words& to) {
        using namespace bf16_product;
        for (Index column = 0; column < columns; column += panel_columns) {
            pack_panel(b, column, columns - column, inner,
                       to.data() + column / panel_columns * panel_words(pair_count(inner)));
        }
    }
    /// c[count, columns] (+)= left · right, from pair `from` of the right operand's `all` inner ones on.
    static void multiply(const Words& left, Index count, const Words& right, Index all, Index from, Index inner,
                         Index first_column, Index columns, float* c, Index ldc, bool add) {
        using namespace bf16_product;
        const Index pairs = pair_count(inner);
        for (Index column = 0; column < columns; column += panel_columns) {
            const Pair* const panel = right.data() +
                                      (first_column + column) / panel_columns * panel_words(pair_count(all)) +
                                      from * panel_columns;
            multiply_rows(left.data(), left_stride(pairs), count, panel, pairs,
                          {c + column, ldc, std::min(panel_columns, columns - column), 1.0F, add});
        }
    }

    void one(const Task& task, Index pair, const Handle& out, const float* log_sum_exp, const Handle& g,
             const Handle& dq, const Handle& dk, const Handle& dv) const {
        using namespace bf16_product;
        const auto factor = static_cast<float>(scale_ / std::log(2.0));
        const auto scale = static_cast<float>(scale_);
        const auto to_base_2 = static_cast<float>(1.0 / std::log(2.0));
        const View<float> q{rows(q_, pair), q_.layout.stride(2), true};
        const View<float> k{key_rows(k_, pair), k_.layout.stride(2), true};
        const View<float> v{key_rows(v_, pair), v_.layout.stride(2), true};
        const View<float> gradient{rows(g, pair), g.layout.stride(2), true};
        const auto transposed = [](View<float> m) { return View<float>{m.data, m.ld, false}; };
        const bool first_of_group = pair % s_.group() == 0;
        if (first_of_group) {
            pack(transposed(k), s_.width, s_.keys, task.keys_by_depth);
            pack(transposed(v), s_.width, s_.keys, task.values_by_depth);
            pack(k, s_.keys, s_.width, task.keys);
        }
        pack(q, s_.queries, s_.width, task.queries);
        pack(gradient, s_.queries, s_.width, task.gradients);
        PoolVector<float> delta(static_cast<std::size_t>(s_.queries));
        for (Index i = 0; i < s_.queries; ++i) {
            delta[static_cast<std::size_t>(i)] =
                ConstRow(gradient.data + i * gradient.ld, s_.width)
                    .matrix()
                    .dot(ConstRow(rows(out, pair) + i * out.layout.stride(2), s_.width).matrix());
        }
        auto* const weight = reinterpret_cast<float*>(task.weight.data());
        auto* const slope = reinterpret_cast<float*>(task.slope.data());
        for (Index kb = 0; kb < s_.keys; kb += key_block) {
            const Index nk = std::min(key_block, s_.keys - kb);
            for (Index qb = 0; qb < s_.queries; qb += query_block) {
                const Index nq = std::min(query_block, s_.queries - qb);
                const bool first_queries = qb == 0 && first_of_group;
                if (kb > 0 && !first_queries && s_.visible(pair, qb + nq - 1, kb, nk) == 0) {
                    continue;
                }
                pack_left(q.from_row(qb), nq, s_.width, task.left.data());
                multiply(task.left, nq, task.keys_by_depth, s_.width, 0, s_.width, kb, nk, weight, nk, false);
                pack_left(gradient.from_row(qb), nq, s_.width, task.left.data());
                multiply(task.left, nq, task.values_by_depth, s_.width, 0, s_.width, kb, nk, slope, nk, false);
                for (Index i = 0; i < nq; ++i) {
                    attention_slopes(weight + i * nk, slope + i * nk, s_.visible(pair, qb + i, kb, nk), nk, factor,
                                     log_sum_exp[qb + i] * to_base_2, scale, delta[static_cast<std::size_t>(qb + i)]);
                }
                // Rows of the transposed blocks are keys.
                pack_left(View<float>{weight, nk, false}, nk, nq, task.left.data());
                multiply(task.left, nk, task.gradients, s_.queries, qb / 2, nq, 0, s_.width,
                         key_rows(dv, pair) + kb * dv.layout.stride(2), dv.layout.stride(2), !first_queries);
                pack_left(View<float>{slope, nk, false}, nk, nq, task.left.data());
                multiply(task.left, nk, task.queries, s_.queries, qb / 2, nq, 0, s_.width,
                         key_rows(dk, pair) + kb * dk.layout.stride(2), dk.layout.stride(2), !first_queries);
                pack_left(View<float>{slope, nk, true}, nq, nk, task.left.data());
                multiply(task.left, nq, task.keys, s_.keys, kb / 2, nk, 0, s_.width,
                         rows(dq, pair) + qb * dq.layout.stride(2), dq.layout.stride(2), kb > 0);
            }
        }
    }

    const Handle& q_;
    const Handle& k_;
    const Handle& v_;
    AttentionShape s_;
    Index depth_pairs_;
    double scale_;
};

}  // namespace flowfar::cpu

#endif
