#pragma once

#include <limits>

#include "flowfar/backend/cpu/kernels/gemm/gemm.hpp"
#include "flowfar/backend/cpu/runtime/cached_array.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/shapes/attention_shape.hpp"

namespace flowfar::cpu {

/// Attention by blocks with an online softmax (Milakov & Gimelshein 2018; Dao et al. 2022): no queries × keys buffer.
/// All operands are f32 views [batch, heads, tokens, D] with dense rows; AttentionShape says which heads share keys and
/// how many of these a query sees.
class Attention {
   public:
    static constexpr Index query_block = 128;
    static constexpr Index key_block = 512;

    Attention(const AttentionShape& shape, double scale) : s_(shape), scale_(static_cast<float>(scale)) {}

    /// Writes out and the log-sum-exp [batch, heads, queries] of the scaled logits.
    void forward(const Handle& q, const Handle& k, const Handle& v, const Handle& out, float* log_sum_exp) const {
        const Index blocks = (s_.queries + query_block - 1) / query_block;
        parallel_for(s_.pairs() * blocks, 1, [&](Index begin, Index end) {
            const CachedArray<float> logits(query_block * key_block);
            const CachedArray<float> sum(query_block * s_.width);
            for (Index task = begin; task < end; ++task) {
                const Index pair = task / blocks;
                const Index first = task % blocks * query_block;
                forward_block(pair, matrix(q, pair), key_matrix(k, s_.key_pair(pair)), key_matrix(v, s_.key_pair(pair)),
                              first, std::min(query_block, s_.queries - first), logits.data(), sum.data(),
                              mutable_matrix(out, pair), out.layout.stride(2), log_sum_exp + pair * s_.queries);
            }
        });
    }

    /// Writes dq, dk and dv; each (batch, head of keys) is one task, so the sums have a fixed order.
    void backward(const Handle& q, const Handle& k, const Handle& v, const Handle& out, const float* log_sum_exp,
                  const Handle& g, const Handle& dq, const Handle& dk, const Handle& dv) const {
        parallel_for(s_.key_pairs(), 1, [&](Index begin, Index end) {
            const CachedArray<float> p(query_block * key_block);
            const CachedArray<float> ds(query_block * key_block);
            PoolVector<float> delta(static_cast<std::size_t>(s_.queries));
            for (Index pair = begin * s_.group(); pair < end * s_.group(); ++pair) {
                const Index keys = s_.key_pair(pair);
                const bool first_of_group = pair % s_.group() == 0;
                const MatrixView mq = matrix(q, pair);
                const MatrixView mk = key_matrix(k, keys);
                const MatrixView mv = key_matrix(v, keys);
                const MatrixView mg = matrix(g, pair);
                const MatrixView mo = matrix(out, pair);
                for (Index i = 0; i < s_.queries; ++i) {
                    delta[static_cast<std::size_t>(i)] = ConstRow(mg.data + i * mg.ld, s_.width)
                                                             .matrix()
                                                             .dot(ConstRow(mo.data + i * mo.ld, s_.width).matrix());
                }
                for (Index kb = 0; kb < s_.keys; kb += key_block) {
                    const Index nk = std::min(key_block, s_.keys - kb);
                    for (Index qb = 0; qb < s_.queries; qb += query_block) {
                        const Index nq = std::min(query_block, s_.queries - qb);
                        const bool first_keys = kb == 0;
                        const bool first_queries = qb == 0 && first_of_group;
                        if (!first_keys && !first_queries && s_.visible(pair, qb + nq - 1, kb, nk) == 0) {
                            continue;
                        }
                        multiply(at(mq, qb), transposed(at(mk, kb)), p.data(), nk, nq, s_.width, nk, scale_);
                        multiply(at(mg, qb), transposed(at(mv, kb)), ds.data(), nk, nq, s_.width, nk, 1.0F);
                        for (Index i = 0; i < nq; ++i) {
                            // Other keys are left out instead of being −∞, whose vector exp is a denormal in Eigen.
                            const Index seen = s_.visible(pair, qb + i, kb, nk);
                            Row row(p.data() + i * nk, seen);
                            exponentials(row.data(), seen, log_sum_exp[pair * s_.queries + qb + i], row.data());
                            Row dot(ds.data() + i * nk, seen);
                            dot = scale_ * row * (dot - delta[static_cast<std::size_t>(qb + i)]);
                            Row(p.data() + i * nk + seen, nk - seen).setZero();
                            Row(ds.data() + i * nk + seen, nk - seen).setZero();
                        }
                        const MatrixView mp{p.data(), nk, true};
                        const MatrixView ms{ds.data(), nk, true};
                        multiply(transposed(mp), at(mg, qb), mutable_key_matrix(dv, keys) + kb * dv.layout.stride(2),
                                 dv.layout.stride(2), nk, nq, s_.width, 1.0F, !first_queries);
                        multiply(transposed(ms), at(mq, qb), mutable_key_matrix(dk, keys) + kb * dk.layout.stride(2),
                                 dk.layout.stride(2), nk, nq, s_.width, 1.0F, !first_queries);
                        multiply(ms, at(mk, kb), mutable_matrix(dq, pair) + qb * dq.layout.stride(2),
                                 dq.layout.stride(2), nq, nk, s_.width, 1.0F, !first_keys);
                    }
                }
            }
        });
    }

   private:
    static MatrixView transposed(MatrixView m) { return {m.data, m.ld, !m.row_major}; }
    static MatrixView at(MatrixView m, Index row) { return {m.data + row * m.ld, m.ld, true}; }

    [[nodiscard]] MatrixView matrix(const Handle& h, Index pair) const {
        return {h.data<float>() + s_.offset(h, pair), h.layout.stride(2), true};
    }
    [[nodiscard]] float* mutable_matrix(const Handle& h, Index pair) const {
        return h.data<float>() + s_.offset(h, pair);
    }
    [[nodiscard]] MatrixView key_matrix(const Handle& h, Index key_pair) const {
        return {mutable_key_matrix(h, key_pair), h.layout.stride(2), true};
    }
    [[nodiscard]] float* mutable_key_matrix(const Handle& h, Index key_pair) const {
        return h.data<float>() + s_.key_offset(h, key_pair);
    }

    void forward_block(Index pair, MatrixView q, MatrixView k, MatrixView v, Index qb, Index nq, float* logit,
                       float* sum, float* out, Index out_stride, float* log_sum_exp) const {
        std::array<float, query_block> peak;
        std::array<float, query_block> total{};
        peak.fill(-std::numeric_limits<float>::infinity());
        for (Index kb = 0; kb < s_.keys; kb += key_block) {
            const Index nk = std::min(key_block, s_.keys - kb);
            if (kb > 0 && s_.visible(pair, qb + nq - 1, kb, nk) == 0) {
                break;
            }
            multiply(at(q, qb), transposed(at(k, kb)), logit, nk, nq, s_.width, nk, scale_);
            for (Index i = 0; i < nq; ++i) {
                const auto n = static_cast<std::size_t>(i);
                const Index seen = s_.visible(pair, qb + i, kb, nk);
                Row(logit + i * nk + seen, nk - seen).setZero();
                if (seen == 0) {
                    continue;
                }
                float* const row = logit + i * nk;
                const float before = peak[n];
                peak[n] = std::max(before, row_peak(row, seen));
                const float part = exponentials(row, seen, peak[n], row);
                if (kb > 0 && before != peak[n]) {
                    const float correction = std::exp(before - peak[n]);
                    total[n] *= correction;
                    Row(sum + i * s_.width, s_.width) *= correction;
                }
                total[n] += part;
            }
            multiply({logit, nk, true}, at(v, kb), sum, s_.width, nq, nk, s_.width, 1.0F, kb > 0);
        }
        for (Index i = 0; i < nq; ++i) {
            const auto n = static_cast<std::size_t>(i);
            const float share = peak[n] == -std::numeric_limits<float>::infinity() ? 0.0F : 1.0F / total[n];
            Row(out + (qb + i) * out_stride, s_.width) = ConstRow(sum + i * s_.width, s_.width) * share;
            log_sum_exp[qb + i] = peak[n] + std::log(total[n]);
        }
    }

    AttentionShape s_;
    float scale_;
};

}  // namespace flowfar::cpu
