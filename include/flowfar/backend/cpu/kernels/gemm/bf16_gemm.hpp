#pragma once

#include "flowfar/backend/cpu/kernels/gemm/bf16_rows.hpp"
#include "flowfar/backend/cpu/kernels/gemm/gemm.hpp"
#include "flowfar/backend/cpu/runtime/block_cache.hpp"

#if defined(FLOWFAR_AVX512_BF16)

namespace flowfar::cpu {

namespace bf16_product {

/// Cache-aligned words that go back to the block cache.
class Words {
   public:
    explicit Words(Index count)
        : block_(BlockCache::instance().allocate(static_cast<std::size_t>(count) * sizeof(Pair))) {}
    explicit Words(std::shared_ptr<std::byte> block) : block_(std::move(block)) {}
    [[nodiscard]] Pair* data() const { return reinterpret_cast<Pair*>(block_.get()); }
    [[nodiscard]] const std::shared_ptr<std::byte>& block() const { return block_; }

   private:
    std::shared_ptr<std::byte> block_;
};

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

/// sums ← residual + gate ∘ sums for rows of 32 sums each, `columns` of them from `column` on in row `row` and the
/// following of a result of `width` columns.
FLOWFAR_AVX512_BF16 inline void add_residual(float* sums, Index row, Index rows, Index column, Index columns,
                                             Index width, const Epilogue& epilogue) {
    const __mmask16 low = first(columns);
    const __mmask16 high = first(columns - lanes);
    for (Index i = 0; i < rows; ++i, sums += panel_columns) {
        __m512 left = _mm512_loadu_ps(sums);
        __m512 right = _mm512_loadu_ps(sums + lanes);
        if (const float* const gate = epilogue.gate.row(row + i); gate != nullptr) {
            left = _mm512_mul_ps(left, _mm512_maskz_loadu_ps(low, gate + column));
            right = _mm512_mul_ps(right, _mm512_maskz_loadu_ps(high, gate + column + lanes));
        }
        const float* const from = epilogue.residual + (row + i) * width + column;
        _mm512_storeu_ps(sums, _mm512_add_ps(left, _mm512_maskz_loadu_ps(low, from)));
        _mm512_storeu_ps(sums + lanes, _mm512_add_ps(right, _mm512_maskz_loadu_ps(high, from + lanes)));
    }
}

/// Rows of 32 sums each into rows `stride` elements apart; with `PastCaches` straight to memory: whole cache lines.
template <bool PastCaches, class T>
FLOWFAR_AVX512_BF16 void store_whole_rows(const float* sums, Index rows, T* to, Index stride) {
    for (Index i = 0; i < rows; ++i, sums += panel_columns, to += stride) {
        const __m512 low = _mm512_loadu_ps(sums);
        const __m512 high = _mm512_loadu_ps(sums + lanes);
        if constexpr (std::is_same_v<T, float>) {
            PastCaches ? _mm512_stream_ps(to, low) : _mm512_storeu_ps(to, low);
            PastCaches ? _mm512_stream_ps(to + lanes, high) : _mm512_storeu_ps(to + lanes, high);
        } else {
            const auto both = (__m512i)_mm512_cvtne2ps_pbh(high, low);
            auto* const line = reinterpret_cast<__m512i*>(to);
            PastCaches ? _mm512_stream_si512(line, both) : _mm512_storeu_si512(line, both);
        }
    }
}
/// The same of the first `columns` of each row; past the caches only where the address allows it.
template <class T>
void store_rows(const float* sums, Index rows, Index columns, T* to, Index stride, bool past_caches) {
    if (columns < panel_columns) {
        for (Index i = 0; i < rows; ++i) {
            store_row(sums + i * panel_columns, columns, to + i * stride);
        }
    } else if (past_caches && has_whole_lines(to, stride)) {
        store_whole_rows<true>(sums, rows, to, stride);
    } else {
        store_whole_rows<false>(sums, rows, to, stride);
    }
}

/// Adds the bias to rows of 32 sums each.
FLOWFAR_AVX512_BF16 inline void add_bias(float* sums, Index rows, Index columns, const float* bias) {
    const __m512 low = _mm512_maskz_loadu_ps(first(columns), bias);
    const __m512 high = _mm512_maskz_loadu_ps(first(columns - lanes), bias + lanes);
    for (Index i = 0; i < rows; ++i, sums += panel_columns) {
        _mm512_storeu_ps(sums, _mm512_add_ps(_mm512_loadu_ps(sums), low));
        _mm512_storeu_ps(sums + lanes, _mm512_add_ps(_mm512_loadu_ps(sums + lanes), high));
    }
}

template <class T>
[[nodiscard]] View<T> view(const Handle& h, Index offset) {
    const int rank = h.rank();
    const bool row_major = h.layout.stride(rank - 1) == 1 || h.extents()[rank - 1] == 1;
    return {h.data<T>() + offset, h.layout.stride(row_major ? rank - 2 : rank - 1), row_major};
}

/// Calls `f(view)` with the last two axes of an f32 or bf16 handle, `offset` elements on.
template <class F>
void with_view(const Handle& h, Index offset, F&& f) {
    if (h.dtype == DType::bf16) {
        f(view<bf16>(h, offset));
    } else {
        f(view<float>(h, offset));
    }
}

}  // namespace bf16_product

/// Products of matrices that `Kernel` multiplies from copies in its own order, on all threads; sums are f32 when they
/// leave it. A kernel says how large its copies are (32-bit words of a left row and of a panel of 32 columns), makes
/// them and multiplies them. Operands and result are f32 or bf16 each.
template <class Kernel>
struct PackedGemm {
    using Word = std::uint32_t;

    /// out[batch…, M, N] = alpha · a b, finished by the epilogue; b may be a single matrix. The rows of `out` are
    /// evenly spaced. With `in_place`, a lies as operand_layout() says, and memory as operand_bytes() says is behind
    /// it.
    static void run(const Handle& out, Handle a, Handle b, const Epilogue& epilogue, double alpha, bool in_place,
                    Handle (*contiguous)(const Handle&)) {
        using namespace bf16_product;
        if (out.count() == 0) {
            return;
        }
        a = Gemm::is_dense(a) ? a : contiguous(a);
        b = Gemm::is_dense(b) ? b : contiguous(b);
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
        p.left_words = Kernel::left_words(p.inner);
        p.panel_words = Kernel::panel_words(p.inner);
        p.panels = panel_count(p.columns);
        const Words right = pack_right(p, b, rights);
        p.alpha = static_cast<float>(alpha);
        p.epilogue = &epilogue;
        p.out_stride = out.layout.stride(rank - 2);
        p.past_caches = out.count() * static_cast<Index>(size_of(out.dtype)) > bf16_product::most_cached;

        const Index height = block_rows(p.left_words, rows);
        const Index blocks = (rows + height - 1) / height;
        const Index wanted = 16 * ThreadPool::instance().threads();
        const Index groups = std::clamp<Index>((wanted + batches * blocks - 1) / (batches * blocks), 1, p.panels);
        parallel_for(batches * blocks * groups, 1, [&](Index begin, Index end) {
            [[maybe_unused]] const typename Kernel::Scope scope;
            const Words copy(in_place ? 0 : padded_rows(height) * p.left_words);
            Index packed = -1;
            for (Index i = begin; i < end; ++i) {
                const Index group = i % groups;
                const Index batch = i / groups / blocks;
                const Index row = rows * (i / groups % blocks) / blocks;
                const Index count = rows * (i / groups % blocks + 1) / blocks - row;
                const Word* left = copy.data();
                if (in_place) {
                    left = reinterpret_cast<const Word*>(a.data<bf16>()) + (batch * rows + row) * p.left_words;
                } else if (packed != i / groups) {
                    packed = i / groups;
                    with_view(a, a.rank() == 2 ? 0 : Gemm::batch_offset(a, batch), [&](const auto& matrix) {
                        Kernel::pack_left(matrix.from_row(row), count, p.inner, copy.data());
                    });
                }
                const Word* const panels = right.data() + (rights == 1 ? 0 : batch * p.panels * p.panel_words);
                const Index first = p.panels * group / groups;
                const Index last = p.panels * (group + 1) / groups;
                const Block block{left, batch * rows + row, count, panels, first, last};
                if (out.dtype == DType::bf16) {
                    multiply_block(p, block, out.data<bf16>());
                } else {
                    multiply_block(p, block, out.data<float>());
                }
            }
            if (p.past_caches) {
                _mm_sfence();
            }
        });
    }

   private:
    static constexpr Index most_rows = 8 * bf16_product::tile_rows;

    struct Product {
        Index inner = 0;
        Index columns = 0;
        Index left_words = 0;
        Index panel_words = 0;
        Index panels = 0;
        float alpha = 1.0F;
        const Epilogue* epilogue = nullptr;
        Index out_stride = 0;
        bool past_caches = false;
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

    template <class T>
    static void multiply_block(const Product& p, const Block& block, T* out) {
        using namespace bf16_product;
        for (Index panel = block.first_panel; panel < block.last_panel; ++panel) {
            const Index column = panel * panel_columns;
            alignas(64) float sums[most_rows * panel_columns];  // from here to `out` through the first cache
            Kernel::multiply(block.left, block.rows, block.panels + panel * p.panel_words, p.inner,
                             {sums, panel_columns, panel_columns, p.alpha});
            finish(p, block, sums, column, out + block.row * p.out_stride + column);
        }
    }

    template <class T>
    static void finish(const Product& p, const Block& block, float* sums, Index column, T* out) {
        using namespace bf16_product;
        const Epilogue& epilogue = *p.epilogue;
        const Index columns = std::min(panel_columns, p.columns - column);
        if (epilogue.bias != nullptr) {
            add_bias(sums, block.rows, columns, epilogue.bias + column);
        }
        Gemm::activate(sums, block.rows * panel_columns, epilogue.activation);
        if (epilogue.residual != nullptr) {
            add_residual(sums, block.row, block.rows, column, columns, p.columns, epilogue);
        }
        store_rows(sums, block.rows, columns, out, p.out_stride, p.past_caches);
    }
};

/// bf16 operands; see bf16_kernel.hpp.
struct Bf16Kernel {
    using Scope = bf16_product::TileScope;
    static constexpr int copy_kind = 0;

    [[nodiscard]] static Index left_words(Index inner) {
        return bf16_product::left_stride(bf16_product::pair_count(inner));
    }
    [[nodiscard]] static Index panel_words(Index inner) {
        return bf16_product::panel_words(bf16_product::pair_count(inner));
    }
    template <class T>
    static void pack_left(const bf16_product::View<T>& a, Index rows, Index inner, bf16_product::Pair* to) {
        bf16_product::pack_left(a, rows, inner, to);
    }
    template <class T>
    static void pack_panel(const bf16_product::View<T>& b, Index column, Index columns, Index inner,
                           bf16_product::Pair* to) {
        bf16_product::pack_panel(b, column, columns, inner, to);
    }
    static void multiply(const bf16_product::Pair* left, Index rows, const bf16_product::Pair* panel, Index inner,
                         const bf16_product::Target& to) {
        bf16_product::multiply_rows(left, left_words(inner), rows, panel, bf16_product::pair_count(inner), to);
    }
};

/// Products of matrices whose elements are rounded to bf16. To be used only where has_avx512_bf16() says so.
using Bf16Gemm = PackedGemm<Bf16Kernel>;

}  // namespace flowfar::cpu

#endif
