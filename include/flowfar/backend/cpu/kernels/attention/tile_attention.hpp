#pragma once

/// Attention on tile registers (gemm/amx.hpp). Scores are computed for 32 queries (a "panel") and 32 keys (a "chunk")
/// at a time. The vector unit works on the exponentials of some chunks while the tile unit works on
///   the scores of the next chunks, and the products of weights and values for the unit of chunks before.
/// The softmax is online (Milakov & Gimelshein 2018). A query's shift is its largest score among the first keys,
/// rounded up, and moves only when weights have become too large for f32 sums: softmax does not depend on it. A panel
/// meets blocks of keys that stay in the second-level cache; so do the sums of the panels of a group.

#include <cmath>
#include <limits>

#include "flowfar/backend/cpu/kernels/attention/tile_attention_operands.hpp"
#include "flowfar/backend/cpu/kernels/gemm/bf16_gemm.hpp"
#include "flowfar/core/memory_pool.hpp"

#if defined(FLOWFAR_AVX512_BF16) && defined(__linux__)

namespace flowfar::cpu::bf16_product {

template <class Tiles>
class TileAttention {
   public:
    static constexpr Index rows = amx_rows;
    static constexpr Index chunk_keys = panel_columns;

    /// Memory for groups of so many panels.
    TileAttention(Index depth, Index panels)
        : steps_(padded(pair_count(depth)) / lanes),
          slots_(steps_),
          slot_chunks_(steps_ <= 2 ? 4 / steps_ : 1),
          unit_chunks_(slots_ * slot_chunks_),
          scores_(2 * slot_chunks_ * chunk_words),
          weights_(unit_chunks_ * chunk_words),
          queries_(panels * steps_ * 2 * tile_words),
          sums_(panels * steps_ * chunk_words),
          totals_(panels * 2 * rows * lanes),
          panels_(static_cast<std::size_t>(panels)) {}

    /// Panels whose sums stay in a second-level cache of 2 MiB, with a block of keys and values.
    [[nodiscard]] static Index most_panels(Index depth) {
        return std::max<Index>(cached_steps / (padded(pair_count(depth)) / lanes), 1);
    }

    /// Of `count` queries, the first `seen` + i keys, or all, are visible to query i.
    template <class T>
    FLOWFAR_AVX512_BF16 void run(const AttentionHead& head, const View<T>& queries, Index count, Index seen,
                                 bool causal) {
        head_ = head;
        const Index panels = (count + rows - 1) / rows;
        for (Index p = 0; p < panels; ++p) {
            const Index row = p * rows;
            Panel& panel = panels_[static_cast<std::size_t>(p)];
            panel.seen = causal ? seen + row : head_.key_count;
            panel.step = causal ? 1 : 0;
            const Index most = causal ? panel.seen + std::min(rows, count - row) - 1 : panel.seen;
            panel.chunks =
                std::max<Index>((std::clamp<Index>(most, 0, head_.key_count) + chunk_keys - 1) / chunk_keys, 1);
            panel.clear = std::clamp<Index>(panel.seen, 0, head_.key_count) / chunk_keys;
            panel.queries = queries_.data() + p * steps_ * 2 * tile_words;
            panel.sums = sums_.data() + p * steps_ * chunk_words;
            panel.totals = reinterpret_cast<float*>(totals_.data()) + p * 2 * rows * lanes;
            panel.side = 0;
            panel.peak.fill(none);
            std::fill_n(panel.totals, 2 * rows * lanes, 0.0F);
            pack(queries.from_row(row), std::min(rows, count - row), panel.queries);
        }
        const Index block = std::max<Index>(cached_steps / steps_ / unit_chunks_, 1) * unit_chunks_;
        for (Index begin = 0; begin * chunk_keys < head_.key_count; begin += block) {
            for (Index p = 0; p < panels; ++p) {
                panel_ = &panels_[static_cast<std::size_t>(p)];
                if (begin < panel_->chunks) {
                    run_block(begin, std::min(begin + block, panel_->chunks));
                }
            }
        }
    }
    /// Afterwards: outputs and log-sum-exps.
    template <class T>
    FLOWFAR_AVX512_BF16 void put(Index count, T* out, Index stride, float* log_sum_exp) const {
        for (Index i = 0; i < count; ++i) {
            const Panel& panel = panels_[static_cast<std::size_t>(i / rows)];
            const Index row = i % rows;
            const float total = _mm512_reduce_add_ps(_mm512_loadu_ps(panel.totals + (panel.side * rows + row) * lanes));
            const float peak = panel.peak[static_cast<std::size_t>(row)];
            const bool blind = peak == none;
            const __m512 share = _mm512_set1_ps(blind ? 0.0F : 1.0F / total);
            alignas(64) float both[2 * lanes];
            for (Index column = 0; column < head_.depth; column += 2 * lanes) {
                const float* const from = sum_row(panel, column / (2 * lanes), row);
                _mm512_store_ps(both, _mm512_mul_ps(share, _mm512_loadu_ps(from)));
                _mm512_store_ps(both + lanes, _mm512_mul_ps(share, _mm512_loadu_ps(from + tile_words)));
                store_row(both, std::min<Index>(2 * lanes, head_.depth - column), out + i * stride + column);
            }
            log_sum_exp[i] = blind ? -std::numeric_limits<float>::infinity()
                                   : peak * static_cast<float>(std::log(2.0)) + std::log(total);
        }
    }

   private:
    static constexpr Index tile_words = 256;
    static constexpr Index chunk_words = 4 * tile_words;
    static constexpr Index line = 64;
    static constexpr float none = -1e38F;
    static constexpr float too_much = 0x1p40F;  ///< for a row's total
    static constexpr float at_once = 32.0F;     ///< by which its shift moves at least
    static constexpr Index cached_steps = 96;   ///< 12 KiB each: chunks of keys and values, or panels

    /// Rows of a packed operand are 32 words apart, of which a tile has 16.
    static constexpr Index panel_line = panel_columns * sizeof(Pair);

    /// 32 queries and what has been summed for them.
    struct Panel {
        std::array<float, rows> peak;  ///< the shifts
        Pair* queries = nullptr;       ///< [steps][2] tiles
        Pair* sums = nullptr;          ///< f32, [steps][2][2] tiles
        float* totals = nullptr;       ///< [2][rows][lanes]: sums of weights before and after a slot
        int side = 0;
        Index seen = 0;
        Index step = 0;
        Index chunks = 0;  ///< with visible keys
        Index clear = 0;   ///< without masked keys
    };

    [[nodiscard]] float* score(Index chunk) const {
        return reinterpret_cast<float*>(scores_.data()) + chunk % (2 * slot_chunks_) * chunk_words;
    }
    [[nodiscard]] Pair* weight(Index unit, Index chunk) const {
        return weights_.data() + (unit % 2 * unit_chunks_ + chunk) * (chunk_words / 2);
    }
    [[nodiscard]] static float* sum_row(const Panel& panel, Index step, Index row) {
        return reinterpret_cast<float*>(panel.sums) + step * chunk_words + row / lanes * 2 * tile_words +
               row % lanes * lanes;
    }
    [[nodiscard]] float* totals(int side) const { return panel_->totals + side * rows * lanes; }
    [[nodiscard]] Index visible(Index row, Index chunk) const {
        return std::min(panel_->seen + row * panel_->step, head_.key_count) - chunk * chunk_keys;
    }

    template <class T>
    FLOWFAR_AVX512_BF16 void pack(const View<T>& q, Index count, Pair* to) {
        for (Index row = 0; row < rows; ++row) {
            for (Index step = 0; step < steps_; ++step) {
                _mm512_storeu_si512(to + (step * 2 + row / lanes) * tile_words + row % lanes * lanes,
                                    row < count
                                        ? load(q.data + row * q.ld + step * 2 * lanes, head_.depth - step * 2 * lanes)
                                        : _mm512_setzero_si512());
            }
        }
    }

    void run_block(Index begin, Index end) {
        slot_ = {};
        end_ = end;
        next_ = begin;
        while (next_ < std::min(begin + slot_chunks_, end)) {
            multiply_keys(next_++);
        }
        if (begin == 0) {
            begin_at_first_scores();
        }
        for (Index unit = begin / unit_chunks_; unit * unit_chunks_ < end + unit_chunks_; ++unit) {
            for (Index slot = 0; slot < slots_; ++slot) {
                run_slot(begin, unit, slot);
            }
            if (unit * unit_chunks_ < end) {
                panel_->side ^= 1;
                if (overflow(0, rows)) {
                    raise(begin, unit);
                }
            }
        }
    }
    void run_slot(Index begin, Index unit, Index slot) {
        const Index first = unit * unit_chunks_ + slot * slot_chunks_;
        const Index chunks = std::clamp<Index>(end_ - first, 0, slot_chunks_);
        const Index before = chunks_of(begin, unit - 1);
        const Index ahead = std::min(end_, first + chunks + slot_chunks_);
        slot_ = {unit, slot * slot_chunks_, first, chunks, 0, 0, std::max<Index>(ahead - next_, 0) * steps_ + before};
        while (next_ < ahead) {
            multiply_keys(next_++);
        }
        if (before > 0) {
            multiply_values(unit - 1, slot, before);
        }
        if (chunks > 0) {
            exponentials(rows);
        }
    }
    /// Of the block that begins at chunk `begin`.
    [[nodiscard]] Index chunks_of(Index begin, Index unit) const {
        const Index first = unit * unit_chunks_;
        return first < begin ? 0 : std::clamp<Index>(end_ - first, 0, unit_chunks_);
    }
    /// After a step of tile products: the exponentials' share.
    void advance() {
        if (slot_.chunks == 0) {
            return;
        }
        ++slot_.step;
        exponentials(std::min(rows, (rows * slot_.step + slot_.steps - 1) / slot_.steps));
    }

    void multiply_keys(Index chunk) {
        const Pair* b = head_.keys + chunk * panel_words(pair_count(head_.depth));
        const Pair* a = panel_->queries;
        Tiles::template zero<0>();
        Tiles::template zero<1>();
        Tiles::template zero<2>();
        Tiles::template zero<3>();
        for (Index step = 0; step < steps_; ++step, a += 2 * tile_words, b += 2 * tile_words) {
            multiply_step(a, b);
        }
        float* const to = score(chunk);
        Tiles::template store<0>(to, line);
        Tiles::template store<1>(to + 2 * tile_words, line);
        Tiles::template store<2>(to + tile_words, line);
        Tiles::template store<3>(to + 3 * tile_words, line);
    }
    void multiply_values(Index unit, Index columns, Index chunks) {
        Pair* const sum = panel_->sums + columns * chunk_words;
        if (unit == 0) {
            Tiles::template zero<0>();
            Tiles::template zero<1>();
            Tiles::template zero<2>();
            Tiles::template zero<3>();
        } else {
            Tiles::template load<0>(sum, line);
            Tiles::template load<1>(sum + tile_words, line);
            Tiles::template load<2>(sum + 2 * tile_words, line);
            Tiles::template load<3>(sum + 3 * tile_words, line);
        }
        const Pair* b =
            head_.values + columns * panel_words(pair_count(head_.key_count)) + unit * unit_chunks_ * 2 * tile_words;
        const Pair* a = weight(unit, 0);
        for (Index chunk = 0; chunk < chunks; ++chunk, a += 2 * tile_words, b += 2 * tile_words) {
            multiply_step(a, b);
        }
        Tiles::template store<0>(sum, line);
        Tiles::template store<1>(sum + tile_words, line);
        Tiles::template store<2>(sum + 2 * tile_words, line);
        Tiles::template store<3>(sum + 3 * tile_words, line);
    }
    void multiply_step(const Pair* a, const Pair* b) {
        Tiles::template load_once<6>(b, panel_line);
        Tiles::template load<4>(a, line);
        Tiles::template load_once<7>(b + lanes, panel_line);
        Tiles::template load<5>(a + tile_words, line);
        Tiles::template multiply_add<float, 0, 4, 6>();
        Tiles::template multiply_add<float, 1, 4, 7>();
        Tiles::template multiply_add<float, 2, 5, 6>();
        Tiles::template multiply_add<float, 3, 5, 7>();
        advance();
    }

    /// Of this slot's rows up to `until`: weights and their sums.
    void exponentials(Index until) {
        if (slot_.row < until) {
            slot_.first + slot_.chunks <= panel_->clear ? exponentials_of<false>(until) : exponentials_of<true>(until);
        }
    }
    template <bool Masked>
    [[gnu::noinline]] FLOWFAR_AVX512_BF16 void exponentials_of(Index until) {
        const __m512 factor = _mm512_set1_ps(head_.factor);
        const Index chunks = slot_.chunks;
        const Index end = until * lanes;
        const float* const peaks = panel_->peak.data();
        const float* const from = score(slot_.first);
        Pair* const to = weight(slot_.unit, slot_.chunk);
        float* const after = totals(panel_->side ^ 1);
        const float* const before = slot_.chunk == 0 ? totals(panel_->side) : after;
        for (Index row = slot_.row * lanes; row < end; row += lanes) {
            const __m512 peak = _mm512_set1_ps(peaks[row / lanes]);
            __m512 total = _mm512_loadu_ps(before + row);
            for (Index chunk = 0; chunk < chunks; ++chunk) {
                const Index seen = Masked ? visible(row / lanes, slot_.first + chunk) : 0;
                total = attention_weights<Masked>(from + chunk * chunk_words + row, chunk_words / 2, seen, factor, peak,
                                                  to + chunk * (chunk_words / 2) + row, total);
            }
            _mm512_storeu_ps(after + row, total);
        }
        slot_.row = until;
    }

    /// Whether the total of a row is too large.
    [[nodiscard]] FLOWFAR_AVX512_BF16 bool overflow(Index begin, Index end) const {
        const float* const total = totals(panel_->side);
        __m512 most = _mm512_setzero_ps();
        for (Index row = begin; row < end; ++row) {
            most = _mm512_max_ps(_mm512_loadu_ps(total + row * lanes), most);
        }
        return _mm512_cmp_ps_mask(most, _mm512_set1_ps(too_much), _CMP_GT_OQ) != 0;
    }
    /// The largest visible score of a row in a chunk, times the factor.
    [[nodiscard]] FLOWFAR_AVX512_BF16 float largest(Index row, Index chunk) const {
        const float* const from = score(chunk) + row * lanes;
        const Index seen = visible(row, chunk);
        const __m512 never = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
        const __m512 factor = _mm512_set1_ps(head_.factor);
        return _mm512_reduce_max_ps(
            _mm512_max_ps(_mm512_mask_mul_ps(never, bf16_product::first(seen), factor, _mm512_loadu_ps(from)),
                          _mm512_mask_mul_ps(never, bf16_product::first(seen - lanes), factor,
                                             _mm512_loadu_ps(from + chunk_words / 2))));
    }
    void begin_at_first_scores() {
        for (Index row = 0; row < rows; ++row) {
            float& peak = panel_->peak[static_cast<std::size_t>(row)];
            peak = std::max(peak, std::ceil(largest(row, 0)));
        }
    }
    /// After a unit in which weights have become too large: moves the shifts, and computes the unit again.
    [[gnu::noinline]] void raise(Index begin, Index unit) {
        const Index first = unit * unit_chunks_;
        const Index chunks = chunks_of(begin, unit);
        std::array<float, rows> most;
        most.fill(none);
        std::array<bool, rows> over;
        for (Index row = 0; row < rows; ++row) {
            over[static_cast<std::size_t>(row)] = overflow(row, row + 1);
        }
        for (Index chunk = first; chunk < first + chunks; ++chunk) {
            slot_.chunks = 0;
            multiply_keys(chunk);
            for (Index row = 0; row < rows; ++row) {
                float& found = most[static_cast<std::size_t>(row)];
                found = std::max(found, largest(row, chunk));
            }
        }
        panel_->side ^= 1;
        for (Index row = 0; row < rows; ++row) {
            float& peak = panel_->peak[static_cast<std::size_t>(row)];
            if (over[static_cast<std::size_t>(row)]) {
                const float found = std::max(peak + at_once, std::ceil(most[static_cast<std::size_t>(row)]));
                scale(row, std::exp2(peak - found), unit > 0, chunks_of(begin, unit - 1), unit - 1);
                peak = found;
            }
        }
        for (Index chunk = 0; chunk < chunks; ++chunk) {
            slot_.chunks = 0;
            multiply_keys(first + chunk);
            slot_ = {unit, chunk, first + chunk, 1, 0, 0, 1};
            exponentials_of<true>(rows);
        }
        panel_->side ^= 1;
        slot_.chunks = 0;
        for (Index chunk = first + chunks; chunk < next_; ++chunk) {  // their place in the ring has been used
            multiply_keys(chunk);
        }
    }
    /// A row's totals and sums, and weights that are still to be multiplied, times a power of 2.
    FLOWFAR_AVX512_BF16 void scale(Index row, float power, bool summed, Index chunks, Index unit) {
        const __m512 by = _mm512_set1_ps(power);
        float* const total = totals(panel_->side) + row * lanes;
        _mm512_storeu_ps(total, _mm512_mul_ps(by, _mm512_loadu_ps(total)));
        for (Index step = 0; summed && step < steps_; ++step) {
            float* const sum = sum_row(*panel_, step, row);
            _mm512_storeu_ps(sum, _mm512_mul_ps(by, _mm512_loadu_ps(sum)));
            _mm512_storeu_ps(sum + tile_words, _mm512_mul_ps(by, _mm512_loadu_ps(sum + tile_words)));
        }
        const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000U));
        for (Index chunk = 0; chunk < chunks; ++chunk) {
            Pair* const at = weight(unit, chunk) + row * lanes;
            const __m512i both = _mm512_loadu_si512(at);
            const __m512 low = _mm512_mul_ps(by, _mm512_castsi512_ps(_mm512_slli_epi32(both, 16)));
            const __m512 high = _mm512_mul_ps(by, _mm512_castsi512_ps(_mm512_and_si512(both, upper)));
            _mm512_storeu_si512(at, _mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(low), 16),
                                                    _mm512_and_si512(_mm512_castps_si512(high), upper)));
        }
    }

    struct Slot {
        Index unit = 0;
        Index chunk = 0;  ///< the first, in its unit
        Index first = 0;  ///< the first, of all
        Index chunks = 0;
        Index row = 0;   ///< of the exponentials
        Index step = 0;  ///< of tile products
        Index steps = 0;
    };

    AttentionHead head_{};
    Index steps_;  ///< pairs of tiles that have the depth
    Index slots_;  ///< per unit: one for each pair of columns
    Index slot_chunks_;
    Index unit_chunks_;
    Words scores_;   ///< ring of chunks, [2 columns][2 rows] tiles each
    Words weights_;  ///< [2 units][chunks][2 rows] tiles
    Words queries_;
    Words sums_;
    Words totals_;
    PoolVector<Panel> panels_;
    Panel* panel_ = nullptr;  ///< the one at work
    Index end_ = 0;           ///< of its chunks
    Index next_ = 0;          ///< chunk to be multiplied
    Slot slot_;
};

}  // namespace flowfar::cpu::bf16_product

#endif
