#pragma once

#include <atomic>

#include "flowfar/backend/cpu/kernels/attention/tile_attention.hpp"
#include "flowfar/core/shapes/attention_shape.hpp"

#if defined(FLOWFAR_AVX512_BF16) && defined(__linux__)

namespace flowfar::cpu {

/// Bf16Attention on tile registers: keys and values are packed once; groups of a head's queries are tasks. To be used
/// only where AmxTiles::available() says so.
template <class Tiles = bf16_product::AmxTiles>
class AmxAttention {
   public:
    /// q [batch, heads, queries, D], k and v [batch, key heads, keys, D]: f32 or bf16, with dense rows; a shape
    /// without counts.
    AmxAttention(const Handle& q, const Handle& k, const Handle& v, const AttentionShape& shape, double scale)
        : q_(q),
          k_(k),
          v_(v),
          s_(shape),
          factor_(static_cast<float>(scale / std::log(2.0))),
          causal_(shape.mask == MaskKind::causal),
          key_size_(bf16_product::panel_count(s_.keys) * bf16_product::panel_words(bf16_product::pair_count(s_.width))),
          value_size_(bf16_product::panel_count(s_.width) *
                      bf16_product::panel_words(bf16_product::pair_count(s_.keys))) {}

    /// Writes out, f32 or bf16 with dense rows, and the log-sum-exp [batch, heads, queries] of the scaled logits.
    void forward(const Handle& out, float* log_sum_exp) const {
        using namespace bf16_product;
        if (s_.queries == 0 || s_.pairs() == 0) {
            return;
        }
        const Words keys(s_.key_pairs() * key_size_);
        const Words values(s_.key_pairs() * value_size_);
        pack(keys.data(), values.data());
        const Index rows = TileAttention<Tiles>::rows;
        const Index panels = (s_.queries + rows - 1) / rows;
        const Index threads = ThreadPool::instance().threads();
        // Four tasks per thread at least, where there are so many panels.
        const Index most =
            std::clamp<Index>(panels * s_.pairs() / (4 * threads), 1, TileAttention<Tiles>::most_panels(s_.width));
        const Index groups = (panels + most - 1) / most;
        const Index group = (panels + groups - 1) / groups;
        std::atomic<Index> next{0};
        parallel_for(threads, 1, [&](Index, Index) {
            const TileScope tiles;
            TileAttention<Tiles> attention(s_.width, group);
            for (Index task = next++; task < s_.pairs() * groups; task = next++) {
                const Index pair = task / groups;
                const Index row = task % groups * group * rows;
                const Index count = std::min(group * rows, s_.queries - row);
                if (count <= 0) {
                    continue;
                }
                const Index key_pair = s_.key_pair(pair);
                const AttentionHead head{keys.data() + key_pair * key_size_, values.data() + key_pair * value_size_,
                                         s_.keys, s_.width, factor_};
                with_view(q_, s_.offset(q_, pair), [&](auto matrix) {
                    matrix = {matrix.data + row * q_.layout.stride(2), q_.layout.stride(2), true};
                    attention.run(head, matrix, count, row + s_.keys - s_.queries + 1, causal_);
                });
                const Index stride = out.layout.stride(2);
                const Index to = s_.offset(out, pair) + row * stride;
                float* const sums = log_sum_exp + pair * s_.queries + row;
                if (out.dtype == DType::bf16) {
                    attention.put(count, out.data<bf16>() + to, stride, sums);
                } else {
                    attention.put(count, out.data<float>() + to, stride, sums);
                }
            }
        });
    }

   private:
    void pack(bf16_product::Pair* keys, bf16_product::Pair* values) const {
        using namespace bf16_product;
        const Index key_panels = panel_count(s_.keys);
        const Index panels = key_panels + panel_count(s_.width);
        parallel_for(s_.key_pairs() * panels, panels, [&](Index begin, Index end) {
            for (Index i = begin; i < end; ++i) {
                const Index pair = i / panels;
                const Index panel = i % panels;
                if (panel < key_panels) {
                    with_view(k_, s_.key_offset(k_, pair), [&](auto matrix) {
                        matrix = {matrix.data, k_.layout.stride(2), false};  // transposed: depth × keys
                        const Index column = panel * panel_columns;
                        pack_panel(matrix, column, s_.keys - column, s_.width,
                                   keys + pair * key_size_ + panel * panel_words(pair_count(s_.width)));
                    });
                } else {
                    with_view(v_, s_.key_offset(v_, pair), [&](auto matrix) {
                        matrix = {matrix.data, v_.layout.stride(2), true};
                        const Index column = (panel - key_panels) * panel_columns;
                        pack_values(
                            matrix, column, s_.width - column, s_.keys,
                            values + pair * value_size_ + (panel - key_panels) * panel_words(pair_count(s_.keys)));
                    });
                }
            }
        });
    }

    const Handle& q_;
    const Handle& k_;
    const Handle& v_;
    AttentionShape s_;
    float factor_;
    bool causal_;
    Index key_size_;
    Index value_size_;
};

}  // namespace flowfar::cpu

#endif
