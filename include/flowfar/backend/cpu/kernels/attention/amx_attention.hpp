#pragma once

#include <atomic>

#include "flowfar/backend/cpu/kernels/attention/tile_attention.hpp"

#if defined(FLOWFAR_AVX512_BF16) && defined(__linux__)

namespace flowfar::cpu {

/// Bf16Attention on tile registers: keys and values are packed once; groups of a head's queries are tasks. To be used
/// only where AmxTiles::available() says so.
template <class Tiles = bf16_product::AmxTiles>
class AmxAttention {
   public:
    /// q [batch, heads, queries, D], k and v [batch, heads, keys, D]: f32 or bf16, with dense rows.
    AmxAttention(const Handle& q, const Handle& k, const Handle& v, double scale, MaskKind mask)
        : q_(q),
          k_(k),
          v_(v),
          queries_(q.extents()[2]),
          keys_(k.extents()[2]),
          depth_(q.extents()[3]),
          pairs_(q.extents()[0] * q.extents()[1]),
          factor_(static_cast<float>(scale / std::log(2.0))),
          causal_(mask == MaskKind::causal),
          key_size_(bf16_product::panel_count(keys_) * bf16_product::panel_words(bf16_product::pair_count(depth_))),
          value_size_(bf16_product::panel_count(depth_) * bf16_product::panel_words(bf16_product::pair_count(keys_))) {}

    /// Writes out, f32 or bf16 with dense rows, and the log-sum-exp [batch, heads, queries] of the scaled logits.
    void forward(const Handle& out, float* log_sum_exp) const {
        using namespace bf16_product;
        if (queries_ == 0 || pairs_ == 0) {
            return;
        }
        const Words keys(pairs_ * key_size_);
        const Words values(pairs_ * value_size_);
        pack(keys.data(), values.data());
        const Index rows = TileAttention<Tiles>::rows;
        const Index panels = (queries_ + rows - 1) / rows;
        const Index threads = ThreadPool::instance().threads();
        // Four tasks per thread at least, where there are so many panels.
        const Index most =
            std::clamp<Index>(panels * pairs_ / (4 * threads), 1, TileAttention<Tiles>::most_panels(depth_));
        const Index groups = (panels + most - 1) / most;
        const Index group = (panels + groups - 1) / groups;
        std::atomic<Index> next{0};
        parallel_for(threads, 1, [&](Index, Index) {
            const TileScope tiles;
            TileAttention<Tiles> attention(depth_, group);
            for (Index task = next++; task < pairs_ * groups; task = next++) {
                const Index pair = task / groups;
                const Index row = task % groups * group * rows;
                const Index count = std::min(group * rows, queries_ - row);
                if (count <= 0) {
                    continue;
                }
                const AttentionHead head{keys.data() + pair * key_size_, values.data() + pair * value_size_, keys_,
                                         depth_, factor_};
                with_view(q_, offset(q_, pair), [&](auto matrix) {
                    matrix = {matrix.data + row * q_.layout.stride(2), q_.layout.stride(2), true};
                    attention.run(head, matrix, count, row + keys_ - queries_ + 1, causal_);
                });
                const Index stride = out.layout.stride(2);
                const Index to = offset(out, pair) + row * stride;
                float* const sums = log_sum_exp + pair * queries_ + row;
                if (out.dtype == DType::bf16) {
                    attention.put(count, out.data<bf16>() + to, stride, sums);
                } else {
                    attention.put(count, out.data<float>() + to, stride, sums);
                }
            }
        });
    }

   private:
    [[nodiscard]] static Index offset(const Handle& h, Index pair) {
        const Index heads = h.extents()[1];
        return pair / heads * h.layout.stride(0) + pair % heads * h.layout.stride(1);
    }

    void pack(bf16_product::Pair* keys, bf16_product::Pair* values) const {
        using namespace bf16_product;
        const Index key_panels = panel_count(keys_);
        const Index panels = key_panels + panel_count(depth_);
        parallel_for(pairs_ * panels, panels, [&](Index begin, Index end) {
            for (Index i = begin; i < end; ++i) {
                const Index pair = i / panels;
                const Index panel = i % panels;
                if (panel < key_panels) {
                    with_view(k_, offset(k_, pair), [&](auto matrix) {
                        matrix = {matrix.data, k_.layout.stride(2), false};  // transposed: depth × keys
                        const Index column = panel * panel_columns;
                        pack_panel(matrix, column, keys_ - column, depth_,
                                   keys + pair * key_size_ + panel * panel_words(pair_count(depth_)));
                    });
                } else {
                    with_view(v_, offset(v_, pair), [&](auto matrix) {
                        matrix = {matrix.data, v_.layout.stride(2), true};
                        const Index column = (panel - key_panels) * panel_columns;
                        pack_values(
                            matrix, column, depth_ - column, keys_,
                            values + pair * value_size_ + (panel - key_panels) * panel_words(pair_count(keys_)));
                    });
                }
            }
        });
    }

    const Handle& q_;
    const Handle& k_;
    const Handle& v_;
    Index queries_;
    Index keys_;
    Index depth_;
    Index pairs_;
    float factor_;
    bool causal_;
    Index key_size_;
    Index value_size_;
};

}  // namespace flowfar::cpu

#endif
