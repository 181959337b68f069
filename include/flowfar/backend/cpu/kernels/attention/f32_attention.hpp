#pragma once

#include <limits>

#include "flowfar/backend/cpu/kernels/gemm/gemm.hpp"
#include "flowfar/backend/cpu/runtime/block_cache.hpp"
#include "flowfar/core/memory_pool.hpp"

namespace flowfar::cpu {

/// Attention by blocks with an online softmax (Milakov & Gimelshein 2018; Dao et al. 2022): no queries × keys buffer.
/// All operands are f32 views [batch, heads, tokens, D] with dense rows.
class Attention {
   public:
    static constexpr Index query_block = 128;
    static constexpr Index key_block = 512;

    Attention(const Handle& q, const Handle& k, double scale, MaskKind mask)
        : queries_(q.extents()[2]),
          keys_(k.extents()[2]),
          depth_(q.extents()[3]),
          heads_(q.extents()[1]),
          pairs_(q.extents()[0] * q.extents()[1]),
          scale_(static_cast<float>(scale)),
          mask_(mask) {}

    /// Writes out and the log-sum-exp [batch, heads, queries] of the scaled logits.
    void forward(const Handle& q, const Handle& k, const Handle& v, const Handle& out, float* log_sum_exp) const {
        const Index blocks = (queries_ + query_block - 1) / query_block;
        parallel_for(pairs_ * blocks, 1, [&](Index begin, Index end) {
            const Scratch logits(query_block * key_block);
            const Scratch sum(query_block * depth_);
            for (Index task = begin; task < end; ++task) {
                const Index pair = task / blocks;
                const Index first = task % blocks * query_block;
                forward_block(matrix(q, pair), matrix(k, pair), matrix(v, pair), first,
                              std::min(query_block, queries_ - first), logits.data(), sum.data(),
                              mutable_matrix(out, pair), out.layout.stride(2), log_sum_exp + pair * queries_);
            }
        });
    }

    /// Writes dq, dk and dv; each (batch, head) is one task, so the sums have a fixed order.
    void backward(const Handle& q, const Handle& k, const Handle& v, const Handle& out, const float* log_sum_exp,
                  const Handle& g, const Handle& dq, const Handle& dk, const Handle& dv) const {
        parallel_for(pairs_, 1, [&](Index begin, Index end) {
            const Scratch p(query_block * key_block);
            const Scratch ds(query_block * key_block);
            PoolVector<float> delta(static_cast<std::size_t>(queries_));
            for (Index pair = begin; pair < end; ++pair) {
                const MatrixView mq = matrix(q, pair);
                const MatrixView mk = matrix(k, pair);
                const MatrixView mv = matrix(v, pair);
                const MatrixView mg = matrix(g, pair);
                const MatrixView mo = matrix(out, pair);
                for (Index i = 0; i < queries_; ++i) {
                    delta[static_cast<std::size_t>(i)] = ConstRow(mg.data + i * mg.ld, depth_)
                                                             .matrix()
                                                             .dot(ConstRow(mo.data + i * mo.ld, depth_).matrix());
                }
                for (Index kb = 0; kb < keys_; kb += key_block) {
                    const Index nk = std::min(key_block, keys_ - kb);
                    for (Index qb = 0; qb < queries_; qb += query_block) {
                        const Index nq = std::min(query_block, queries_ - qb);
                        const bool first_keys = kb == 0;
                        const bool first_queries = qb == 0;
                        if (!first_keys && !first_queries && visible(qb + nq - 1, kb, nk) == 0) {
                            continue;
                        }
                        multiply(at(mq, qb), transposed(at(mk, kb)), p.data(), nk, nq, depth_, nk, scale_);
                        multiply(at(mg, qb), transposed(at(mv, kb)), ds.data(), nk, nq, depth_, nk, 1.0F);
                        for (Index i = 0; i < nq; ++i) {
                            const Index seen = visible(qb + i, kb, nk);
                            Row row(p.data() + i * nk, seen);
                            exponentials(row.data(), seen, log_sum_exp[pair * queries_ + qb + i], row.data());
                            Row dot(ds.data() + i * nk, seen);
                            dot = scale_ * row * (dot - delta[static_cast<std::size_t>(qb + i)]);
                            Row(p.data() + i * nk + seen, nk - seen).setZero();
                            Row(ds.data() + i * nk + seen, nk - seen).setZero();
                        }
                        const MatrixView mp{p.data(), nk, true};
                        const MatrixView ms{ds.data(), nk, true};
                        multiply(transposed(mp), at(mg, qb), mutable_matrix(dv, pair) + kb * dv.layout.stride(2),
                                 dv.layout.stride(2), nk, nq, depth_, 1.0F, !first_queries);
                        multiply(transposed(ms), at(mq, qb), mutable_matrix(dk, pair) + kb * dk.layout.stride(2),
                                 dk.layout.stride(2), nk, nq, depth_, 1.0F, !first_queries);
                        multiply(ms, at(mk, kb), mutable_matrix(dq, pair) + qb * dq.layout.stride(2),
                                 dq.layout.stride(2), nq, nk, depth_, 1.0F, !first_keys);
                    }
                }
            }
        });
    }

   private:
    /// A buffer that begins on a cache line: Eigen peels loops up to an aligned address, so that with the alignment of
    /// `new` the last bits of the results would change from call to call.
    class Scratch {
       public:
        explicit Scratch(Index count)
            : block_(BlockCache::instance().allocate(static_cast<std::size_t>(count) * sizeof(float))) {}
        [[nodiscard]] float* data() const { return reinterpret_cast<float*>(block_.get()); }

       private:
        std::shared_ptr<std::byte> block_;
    };

    static MatrixView transposed(MatrixView m) { return {m.data, m.ld, !m.row_major}; }
    static MatrixView at(MatrixView m, Index row) { return {m.data + row * m.ld, m.ld, true}; }

    [[nodiscard]] Index offset(const Handle& h, Index pair) const {
        return pair / heads_ * h.layout.stride(0) + pair % heads_ * h.layout.stride(1);
    }
    [[nodiscard]] MatrixView matrix(const Handle& h, Index pair) const {
        return {h.data<float>() + offset(h, pair), h.layout.stride(2), true};
    }
    [[nodiscard]] float* mutable_matrix(const Handle& h, Index pair) const { return h.data<float>() + offset(h, pair); }

    /// How many of the keys [kb, kb + nk) the query sees; they come first. The rest is left out of the exponentials
    /// instead of being -infinity, for which Eigen's vector exp gives a denormal number rather than zero.
    [[nodiscard]] Index visible(Index query, Index kb, Index nk) const {
        return mask_ == MaskKind::full ? nk : std::clamp<Index>(query + (keys_ - queries_) + 1 - kb, 0, nk);
    }

    void forward_block(MatrixView q, MatrixView k, MatrixView v, Index qb, Index nq, float* logit, float* sum,
                       float* out, Index out_stride, float* log_sum_exp) const {
        std::array<float, query_block> peak;
        std::array<float, query_block> total{};
        peak.fill(-std::numeric_limits<float>::infinity());
        for (Index kb = 0; kb < keys_; kb += key_block) {
            const Index nk = std::min(key_block, keys_ - kb);
            if (kb > 0 && visible(qb + nq - 1, kb, nk) == 0) {
                break;
            }
            multiply(at(q, qb), transposed(at(k, kb)), logit, nk, nq, depth_, nk, scale_);
            for (Index i = 0; i < nq; ++i) {
                const auto n = static_cast<std::size_t>(i);
                const Index seen = visible(qb + i, kb, nk);
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
                    Row(sum + i * depth_, depth_) *= correction;
                }
                total[n] += part;
            }
            multiply({logit, nk, true}, at(v, kb), sum, depth_, nq, nk, depth_, 1.0F, kb > 0);
        }
        for (Index i = 0; i < nq; ++i) {
            const auto n = static_cast<std::size_t>(i);
            const float share = peak[n] == -std::numeric_limits<float>::infinity() ? 0.0F : 1.0F / total[n];
            Row(out + (qb + i) * out_stride, depth_) = ConstRow(sum + i * depth_, depth_) * share;
            log_sum_exp[qb + i] = peak[n] + std::log(total[n]);
        }
    }

    Index queries_;
    Index keys_;
    Index depth_;
    Index heads_;
    Index pairs_;
    float scale_;
    MaskKind mask_;
};

}  // namespace flowfar::cpu
