#pragma once

/// The order in which tile registers (amx.hpp) compute a part of a product, so that they rarely wait for memory:
///   - A block of neighboring panels stays in the second cache while all rows pass by.
///   - A chunk of 32 rows stays in the first cache while the block's panels stream through it.
///   - Sums of a long inner extent wait in memory between its chunks. A tile register stores and loads them exactly, so
///     an element stays one chain of steps over the inner extent.
///   - Sums that are complete are finished two rows at a time between the steps of the next product.

#include "flowfar/backend/cpu/kernels/gemm/amx.hpp"

#if defined(FLOWFAR_AVX512_BF16) && defined(__linux__)

namespace flowfar::cpu::bf16_product {

/// Sums of 2 × 2 tiles: [32 rows][32 columns].
inline constexpr Index amx_sums_count = amx_rows * panel_columns;

/// Bytes of a result that tiles leave in the caches. Reading a result's lines before they are written would take their
/// place in the few buffers through which panels come from the second cache: 1.2 times the speed without.
inline constexpr Index most_cached_of_tiles = Index{1} << 20;

/// Packed left rows times neighboring panels of a packed right operand, over `words` words of the inner extent: bf16
/// pairs or byte quads.
struct TilePart {
    const Pair* left;
    Index stride;  ///< words from one left row to the next
    Index rows;
    const Pair* panels;
    Index panel_words;  ///< from one panel to the next
    Index first_panel;
    Index last_panel;
    Index words;
};

/// How such a part is divided.
class TileBlocks {
   public:
    explicit TileBlocks(Index words)
        : chunk_(divided(words, most_chunk)),
          pass_(words <= most_pass ? std::max<Index>(words, 1) : 2 * chunk_),
          panels_(most_panels) {}

    /// Words of the inner extent that 32 rows keep in the first cache.
    [[nodiscard]] Index chunk() const { return chunk_; }
    /// Words of the inner extent of which a block of panels stays in the second cache.
    [[nodiscard]] Index pass() const { return pass_; }
    /// Panels of a block.
    [[nodiscard]] Index panels() const { return panels_; }
    /// Room for the sums of a part with so many rows: two for those being finished, the others wait for the next chunk.
    [[nodiscard]] Index scratch(Index rows, Index words) const {
        return (2 + panels_ * (words <= pass_ ? 1 : (rows + amx_rows - 1) / amx_rows)) * amx_sums_count;
    }

   private:
    static constexpr Index most_chunk = 320;  // 40 KB of 32 rows
    static constexpr Index most_pass = 640;   // 80 KB of a panel
    static constexpr Index most_panels = 12;

    /// The equal parts of `words`, whole steps, that are at most `most` long.
    [[nodiscard]] static constexpr Index divided(Index words, Index most) {
        const Index parts = std::max<Index>((words + most - 1) / most, 1);
        return std::max<Index>((words + parts * amx_pairs - 1) / (parts * amx_pairs), 1) * amx_pairs;
    }

    Index chunk_;
    Index pass_;
    Index panels_;
};

/// Sums that are complete but not finished yet. `finish(sums, row, rows, panel)` is called for two rows at a time.
template <class Sum, class Finish>
class UnfinishedSums {
   public:
    explicit UnfinishedSums(Finish& finish) : finish_(finish) {}

    void begin(const Sum* sums, Index row, Index rows, Index panel) {
        end();
        sums_ = sums;
        row_ = row;
        rows_ = rows;
        panel_ = panel;
    }
    void step() {
        if (rows_ > 0) {
            const Index rows = std::min<Index>(rows_, 2);
            finish_(sums_, row_, rows, panel_);
            sums_ += rows * panel_columns;
            row_ += rows;
            rows_ -= rows;
        }
    }
    void end() {
        while (rows_ > 0) {
            step();
        }
    }

   private:
    Finish& finish_;
    const Sum* sums_ = nullptr;
    Index row_ = 0;
    Index rows_ = 0;
    Index panel_ = 0;
};

/// Calls `finish(sums, row, rows, panel)` with the sums [rows][32] of all rows and panels, one or two rows at a time.
/// `scratch` is as large as TileBlocks says.
template <class Tiles, class Sum, class Finish>
void multiply_part(const TilePart& p, Sum* scratch, Finish&& finish) {
    const TileBlocks blocks(p.words);
    UnfinishedSums<Sum, std::remove_reference_t<Finish>> unfinished(finish);
    const Index extent = std::max<Index>(p.words, 1);  // sums over nothing are zeros
    Sum* const waiting = scratch + 2 * amx_sums_count;
    Index complete = 0;
    for (Index first = p.first_panel; first < p.last_panel; first += blocks.panels()) {
        const Index last = std::min(first + blocks.panels(), p.last_panel);
        for (Index pass = 0; pass < extent; pass += blocks.pass()) {
            const Index pass_end = std::min(pass + blocks.pass(), extent);
            for (Index row = 0; row < p.rows; row += amx_rows) {
                const Index rows = std::min(amx_rows, p.rows - row);
                Sum* const partial =
                    waiting + (blocks.pass() < p.words ? row / amx_rows * blocks.panels() * amx_sums_count : 0);
                for (Index word = pass; word < pass_end; word += blocks.chunk()) {
                    const Index words = std::min(blocks.chunk(), std::min(pass_end, p.words) - word);
                    for (Index panel = first; panel < last; ++panel) {
                        Sum* const sums = partial + (panel - first) * amx_sums_count;
                        const bool ends = word + words >= p.words;
                        Sum* const to = ends ? scratch + (complete++ % 2) * amx_sums_count : sums;
                        amx_sums<Tiles>(p.left + row * p.stride + word, p.stride, rows,
                                        p.panels + panel * p.panel_words + word * panel_columns, words,
                                        word == 0 ? nullptr : sums, to, [&] { unfinished.step(); });
                        if (ends) {
                            unfinished.begin(to, row, rows, panel);
                        }
                    }
                }
            }
        }
    }
    unfinished.end();
}

}  // namespace flowfar::cpu::bf16_product

#endif
