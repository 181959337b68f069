#pragma once

#include "flowfar/backend/cpu/kernels/gemm/amx_block.hpp"
#include "flowfar/backend/cpu/kernels/gemm/finish_rows.hpp"
#include "flowfar/backend/cpu/runtime/cached_array.hpp"

#if defined(FLOWFAR_AVX512_BF16)

namespace flowfar::cpu {

namespace bf16_product {

/// Packed operands.
using Words = CachedArray<Pair>;

/// The packed copy that is kept with a matrix' memory for kernels of this kind, or what `make()` packs now; that is
/// kept if the matrix has been packed before.
template <class Make>
[[nodiscard]] Words kept_or(const Handle& h, int kind, Make&& make) {
    PackedCopies* const copies = BlockCache::copies(h);
    bool wanted = false;
    if (copies != nullptr) {
        if (std::shared_ptr<std::byte> packed = copies->find(h, kind, wanted)) {
            return Words(std::move(packed));
        }
    }
    Words out = make();
    if (wanted) {
        copies->keep(h, kind, out.block());
    }
    return out;
}

/// Calls `f(view)` with the last two axes of an f32 or bf16 handle, `offset` elements on.
template <class F>
void with_view(const Handle& h, Index offset, F&& f) {
    if (h.dtype == DType::bf16) {
        f(View<bf16>::of(h, offset));
    } else {
        f(View<float>::of(h, offset));
    }
}

}  // namespace bf16_product

/// How the left operand of a product lies: as a matrix, or as operand_layout() says, with memory as operand_bytes()
/// says behind it.
enum class LeftOperand : std::uint8_t { matrix, packed };

/// Products of matrices that `Kernel` multiplies from copies in its own order, on all threads; sums are f32 when they
/// leave it. A kernel says how large its copies are (32-bit words of a left row and of a panel of 32 columns), makes
/// them and multiplies them. Operands and result are f32 or bf16 each.
template <class Kernel>
struct PackedGemm {
    using Word = std::uint32_t;

    /// out[batch…, M, N] = alpha · a b, finished by the epilogue; b may be a single matrix. The rows of `out` are
    /// evenly spaced. An operand has stride 1 along one of its last two axes.
    static void run(const Handle& out, Handle a, const Handle& b, const Epilogue& epilogue, double alpha,
                    LeftOperand left) {
        using namespace bf16_product;
        if (out.count() == 0) {
            return;
        }
        const int rank = a.rank();
        Product p{.inner = a.extents()[rank - 1], .columns = b.extents().back()};
        Index batches = Gemm::batches(a);
        Index rows = a.extents()[rank - 2];
        if (const auto tall = reshaped(a.layout, {batches * rows, p.inner});
            b.rank() == 2 && tall) {  // one tall matrix
            rows *= batches;
            batches = 1;
            a = a.with(*tall);
        }
        const Index rights = b.rank() == 2 ? 1 : batches;
        p.words = Kernel::words(p.inner);
        p.left_words = Kernel::left_words(p.inner);
        p.panel_words = Kernel::panel_words(p.inner);
        p.panels = panel_count(p.columns);
        const Words right = pack_right(p, b, rights);
        p.alpha = static_cast<float>(alpha);
        const Operands operands{a, right.data(), batches, rows, rights, left == LeftOperand::packed};
        const auto run_into = [&]<class T>(T* data) {
            const Index bytes = out.count() * static_cast<Index>(sizeof(T));
            Result<T> result{data, out.layout.stride(rank - 2), p.columns, &epilogue, bytes > most_cached};
#if defined(__linux__)
            if (Kernel::has_tiles()) {
                result.past_caches = bytes > most_cached_of_tiles;
                run_tiles(p, operands, result);
                return;
            }
#endif
            run_vectors(p, operands, result);
        };
        out.dtype == DType::bf16 ? run_into(out.data<bf16>()) : run_into(out.data<float>());
    }

   private:
    static constexpr Index most_rows = 8 * bf16_product::tile_rows;

    struct Product {
        Index inner = 0;
        Index columns = 0;
        Index words = 0;
        Index left_words = 0;
        Index panel_words = 0;
        Index panels = 0;
        float alpha = 1.0F;
    };
    struct Operands {
        const Handle& a;
        const Word* right;
        Index batches;
        Index rows;    ///< of a batch
        Index rights;  ///< 1, or one for each batch
        bool in_place;

        [[nodiscard]] const Word* panels(const Product& p, Index batch) const {
            return right + (rights == 1 ? 0 : batch * p.panels * p.panel_words);
        }
        /// Packed rows of a batch, in `copy` unless they are packed where they are.
        [[nodiscard]] const Word* left(const Product& p, Index batch, Index row, Index count, Word* copy) const {
            if (in_place) {
                return reinterpret_cast<const Word*>(a.data<bf16>()) + (batch * rows + row) * p.left_words;
            }
            bf16_product::with_view(a, a.rank() == 2 ? 0 : Gemm::batch_offset(a, batch), [&](const auto& matrix) {
                Kernel::pack_left(matrix.from_row(row), count, p.inner, copy);
            });
            return copy;
        }
    };
    /// Packed left rows, the first being that row of the result, times some of the panels.
    struct Block {
        const Word* left;
        Index row;
        Index rows;
        const Word* panels;
        Index first_panel;
        Index last_panel;
    };

    /// The panels of b; a single matrix that is used again and again is kept packed.
    static bf16_product::Words pack_right(const Product& p, const Handle& b, Index rights) {
        using namespace bf16_product;
        const auto pack = [&] { return pack_anew(p, b, rights); };
        return b.rank() == 2 ? kept_or(b, Kernel::copy_kind, pack) : pack();
    }
    static bf16_product::Words pack_anew(const Product& p, const Handle& b, Index rights) {
        using namespace bf16_product;
        Words out(rights * p.panels * p.panel_words);
        parallel_for(rights * p.panels, 1, [&](Index begin, Index end) {
            for (Index i = begin; i < end; ++i) {
                with_view(b, rights == 1 ? 0 : Gemm::batch_offset(b, i / p.panels), [&](const auto& matrix) {
                    const Index column = i % p.panels * panel_columns;
                    Kernel::pack_panel(matrix, column, p.columns - column, p.inner, out.data() + i * p.panel_words);
                });
            }
        });
        return out;
    }

    /// Rows that are packed at a time: whole tiles within half of a second-level cache of 1 MiB.
    static Index block_rows(Index left_words, Index rows) {
        using namespace bf16_product;
        constexpr Index tiles = most_rows / tile_rows;
        constexpr Index words = Index{1} << 17;
        const Index fit = std::clamp<Index>(words / left_words / tile_rows, 1, tiles) * tile_rows;
        return std::min(fit, rows);
    }

    /// With tiles of vector registers.
    template <class T>
    static void run_vectors(const Product& p, const Operands& operands, const bf16_product::Result<T>& result) {
        using namespace bf16_product;
        const Index rows = operands.rows;
        const Index height = block_rows(p.left_words, rows);
        const Index blocks = (rows + height - 1) / height;
        const Index wanted = 16 * ThreadPool::instance().threads();
        const Index pieces = operands.batches * blocks;
        const Index groups = std::clamp<Index>((wanted + pieces - 1) / pieces, 1, p.panels);
        parallel_for(pieces * groups, 1, [&](Index begin, Index end) {
            const Words copy(operands.in_place ? 0 : padded_rows(height) * p.left_words);
            Index packed = -1;
            const Word* left = nullptr;
            for (Index i = begin; i < end; ++i) {
                const Index group = i % groups;
                const Index batch = i / groups / blocks;
                const Index row = rows * (i / groups % blocks) / blocks;
                const Index count = rows * (i / groups % blocks + 1) / blocks - row;
                if (packed != i / groups) {
                    packed = i / groups;
                    left = operands.left(p, batch, row, count, copy.data());
                }
                multiply_block(p,
                               {left, batch * rows + row, count, operands.panels(p, batch), p.panels * group / groups,
                                p.panels * (group + 1) / groups},
                               result);
            }
            if (result.past_caches) {
                _mm_sfence();
            }
        });
    }
    template <class T>
    static void multiply_block(const Product& p, const Block& block, const bf16_product::Result<T>& result) {
        using namespace bf16_product;
        for (Index panel = block.first_panel; panel < block.last_panel; ++panel) {
            const Index column = panel * panel_columns;
            alignas(64) float sums[most_rows * panel_columns];  // from here to `out` through the first cache
            Kernel::multiply(block.left, block.rows, block.panels + panel * p.panel_words, p.inner,
                             {sums, panel_columns, panel_columns, p.alpha});
            finish_rows(sums, block.row, block.rows, column, result);
        }
    }

#if defined(__linux__)
    /// With tile registers, whose products are divided as TileBlocks says.
    template <class T>
    static void run_tiles(const Product& p, const Operands& operands, const bf16_product::Result<T>& result) {
        using namespace bf16_product;
        using Sum = typename Kernel::Sum;
        const Index threads = ThreadPool::instance().threads();
        const Index rows = operands.rows;
        const Index units = padded_rows(rows) / amx_rows;
        // As many blocks for each thread; where there are few, each is divided into groups of panels.
        const Index most = (units + most_tile_rows - 1) / most_tile_rows;
        const Index blocks = std::min(units, (most + threads - 1) / threads * threads);
        const Index pieces = operands.batches * blocks;
        const Index groups = std::clamp<Index>((8 * threads + pieces - 1) / pieces, 1, p.panels);
        const Index height = (units + blocks - 1) / blocks * amx_rows;
        const Index words = padded(p.words);
        std::atomic<Index> next{0};
        parallel_for(std::min(threads, pieces * groups), 1, [&](Index, Index) {
            const typename Kernel::Scope scope;
            const Words copy(operands.in_place ? 0 : height * p.left_words);
            const Words scratch(TileBlocks(words).scratch(height, words));
            Index packed = -1;
            const Word* left = nullptr;
            for (Index i = next.fetch_add(1); i < pieces * groups; i = next.fetch_add(1)) {
                const Index group = i % groups;
                const Index batch = i / groups / blocks;
                const Index row = units * (i / groups % blocks) / blocks * amx_rows;
                const Index count = std::min(units * (i / groups % blocks + 1) / blocks * amx_rows, rows) - row;
                if (packed != i / groups) {
                    packed = i / groups;
                    left = operands.left(p, batch, row, count, copy.data());
                }
                const Word* const panels = operands.panels(p, batch);
                const auto finish = [&](const Sum* sums, Index r, Index n, Index panel) {
                    alignas(64) float room[2 * panel_columns];
                    const float* const floats = Kernel::to_floats(
                        sums, n, left + r * p.left_words, panels + panel * p.panel_words, p.inner, p.alpha, room);
                    finish_rows(floats, batch * rows + row + r, n, panel * panel_columns, result);
                };
                multiply_part<AmxTiles>({.left = left,
                                         .stride = p.left_words,
                                         .rows = count,
                                         .panels = panels,
                                         .panel_words = p.panel_words,
                                         .first_panel = p.panels * group / groups,
                                         .last_panel = p.panels * (group + 1) / groups,
                                         .words = words},
                                        reinterpret_cast<Sum*>(scratch.data()), finish);
            }
            if (result.past_caches) {
                _mm_sfence();
            }
        });
    }
    static constexpr Index most_tile_rows = 8;  ///< units of a block: what they need stays in the second cache
#endif
};

/// bf16 operands; see bf16_kernel.hpp.
struct Bf16Kernel {
    using Sum = float;
    using Scope = bf16_product::TileScope;
    static constexpr int copy_kind = 0;

    [[nodiscard]] static Index left_words(Index inner) {
        return bf16_product::left_stride(bf16_product::pair_count(inner));
    }
    [[nodiscard]] static Index panel_words(Index inner) {
        return bf16_product::panel_words(bf16_product::pair_count(inner));
    }
    template <class T>
    static void pack_left(const View<T>& a, Index rows, Index inner, bf16_product::Pair* to) {
        bf16_product::pack_left(a, rows, inner, to);
    }
    template <class T>
    static void pack_panel(const View<T>& b, Index column, Index columns, Index inner, bf16_product::Pair* to) {
        bf16_product::pack_panel(b, column, columns, inner, to);
    }
    /// Words of a packed row that are multiplied.
    [[nodiscard]] static Index words(Index inner) { return bf16_product::pair_count(inner); }
    /// With tiles of vector registers.
    static void multiply(const bf16_product::Pair* left, Index rows, const bf16_product::Pair* panel, Index inner,
                         const bf16_product::Target& to) {
        bf16_product::for_tiles(rows, bf16_product::tiles, [&](Index row, auto tile) {
            bf16_product::Target part = to;
            part.c += row * to.ldc;
            const Index stride = left_words(inner);
            tile(left + row * stride, stride, panel, words(inner), part);
        });
    }
#if defined(__linux__)
    [[nodiscard]] static bool has_tiles() { return bf16_product::AmxTiles::available(); }
    /// What sums [rows][32] in tile registers stand for; in `room` unless they are that themselves.
    FLOWFAR_AVX512_BF16 static const float* to_floats(const float* sums, Index rows, const bf16_product::Pair* /*left*/,
                                                      const bf16_product::Pair* /*panel*/, Index /*inner*/, float alpha,
                                                      float* room) {
        if (alpha == 1.0F) {
            return sums;
        }
        const __m512 factor = _mm512_set1_ps(alpha);
        for (Index i = 0; i < rows * bf16_product::panel_columns; i += bf16_product::lanes) {
            _mm512_storeu_ps(room + i, _mm512_mul_ps(factor, _mm512_loadu_ps(sums + i)));
        }
        return room;
    }
#endif
};

/// Products of matrices whose elements are rounded to bf16. To be used only where has_avx512_bf16() says so.
using Bf16Gemm = PackedGemm<Bf16Kernel>;

}  // namespace flowfar::cpu

#endif
