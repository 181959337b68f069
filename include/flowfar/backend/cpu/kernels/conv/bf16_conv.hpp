#pragma once

#include "flowfar/backend/cpu/kernels/conv/image_conv.hpp"
#include "flowfar/backend/cpu/kernels/gemm/bf16_gemm.hpp"

#if defined(FLOWFAR_AVX512_BF16)

namespace flowfar::cpu {

namespace bf16_product {

/// An image whose words are pairs of channels, with a margin of zeros: [line][channel pair][column].
struct PairImage {
    const Pair* data;
    Index pairs;   ///< of channels
    Index stride;  ///< words from one channel pair to the next

    [[nodiscard]] const Pair* at(Index y, Index x) const { return data + y * pairs * stride + x; }
};

/// `put` straight to memory: whole tiles whose rows are whole cache lines.
template <int... R>
[[gnu::always_inline]] FLOWFAR_AVX512_BF16 inline void put_past_caches(const __m512 (&sums)[2 * sizeof...(R)],
                                                                       const Target& to,
                                                                       std::integer_sequence<int, R...>) {
    (...,
     (_mm512_stream_ps(to.c + R * to.ldc, sums[2 * R]), _mm512_stream_ps(to.c + R * to.ldc + lanes, sums[2 * R + 1])));
}

/// A tile as in bf16_kernel.hpp whose right operand is what 32 output pixels see of an image, 16 from `low` and 16 from
/// `high` on: of every line and column of the kernel, all channel pairs. `bias`, one per row, may be null.
template <int Rows>
FLOWFAR_AVX512_BF16 void seen_tile(const Pair* a, Index stride, const PairImage& image, const Pair* low,
                                   const Pair* high, Index kernel_height, Index kernel_width, const float* bias,
                                   const Target& to, bool past_caches) {
    constexpr auto rows = std::make_integer_sequence<int, Rows>{};
    __m512 sums[2 * Rows];
    for (__m512& sum : sums) {
        sum = _mm512_setzero_ps();
    }
    for (Index ky = 0; ky < kernel_height; ++ky) {
        for (Index kx = 0; kx < kernel_width; ++kx) {
            Index at = image.at(ky, kx) - image.data;
            for (Index p = 0; p < image.pairs; ++p, ++a, at += image.stride) {
                multiply_add(sums, a, stride, (__m512bh)_mm512_loadu_si512(low + at),
                             (__m512bh)_mm512_loadu_si512(high + at), rows);
            }
        }
    }
    for (int row = 0; bias != nullptr && row < Rows; ++row) {
        const __m512 offset = _mm512_set1_ps(bias[row]);
        sums[2 * row] = _mm512_add_ps(sums[2 * row], offset);
        sums[2 * row + 1] = _mm512_add_ps(sums[2 * row + 1], offset);
    }
    if (past_caches) {
        put_past_caches(sums, to, rows);
    } else {
        put(sums, to, rows);
    }
}

inline constexpr auto seen_tiles = tile_table([]<int Rows>() { return &seen_tile<Rows>; });

}  // namespace bf16_product

/// Convolution of images and weights rounded to bf16, with f32 sums. The inner extent runs over taps, then pairs of
/// channels: tiles of vector registers read the image, whose words are pairs of channels, where it is, tile registers
/// read packed panels. To be used only where has_avx512_bf16() says so.
class Bf16Conv : public ImageConv {
   public:
    /// `panels` chooses packed panels, which tile registers need.
    explicit Bf16Conv(const ConvShape& shape, bool panels = has_tile_registers())
        : ImageConv(shape, bf16_product::pair_count(shape.in)),
          panels_(panels),
          pairs_(words_ * shape.taps()),
          stride_(bf16_product::left_stride(pairs_)) {}

    /// x [batch, in, h, w], weight [out, in, kh, kw], bias [out] or undefined → y; all contiguous f32.
    void forward(const Handle& x, const Handle& weight, const Handle& bias, const Handle& y) const {
        using namespace bf16_product;
        static_assert(panel == panel_columns && most_rows == tile_rows);
        const Words left = kept_or(weight, copy_kind, [&] {
            Words packed(padded_rows(s_.out + tile_rows) * stride_);  // the last block may begin anywhere
            parallel_for(s_.out, 8, [&](Index begin, Index end) {
                for (Index row = begin; row < end; ++row) {
                    pack_weight(weight.data<float>() + row * s_.in * s_.taps(), packed.data() + row * stride_);
                }
            });
            return packed;
        });
        const Words images(packed_images<Pair>([&](Index n, Index pair, Pair* to) {
            pack_plane(x.data<float>() + (n * s_.in + 2 * pair) * area_, 2 * pair + 1 < s_.in, to);
        }));
        const float* const offsets = bias.defined() ? bias.data<float>() : nullptr;
        float* const out = y.data<float>();
        const bool past_caches =
            y.count() * static_cast<Index>(sizeof(float)) > most_cached && has_whole_lines(out, pixels_);
        if (panels_) {
            multiply_panels(left.data(), images.data(), offsets, out);
            return;
        }
        for_tasks([&] {
            return [&](const Task& task) {
                const PairImage image{images.data() + task.n * image_words(), words_, line_};
                for_each_tile(task, [&](Index tile, Index column, Index columns) {
                    const Index row = first_row(tile);
                    const Pair* const low = image.data + seen_from(task.from + column);
                    const Pair* const high = columns > lanes ? image.data + seen_from(task.from + column + lanes) : low;
                    seen_tiles[static_cast<std::size_t>(first_row(tile + 1) - row - 1)](
                        left.data() + row * stride_, stride_, image, low, high, s_.kernel_height, s_.kernel_width,
                        offsets == nullptr ? nullptr : offsets + row,
                        {out + (task.n * s_.out + row) * pixels_ + task.from + column, pixels_, columns},
                        past_caches && columns == panel && (task.from + column) % lanes == 0);
                });
                if (past_caches) {
                    _mm_sfence();
                }
            };
        });
    }

   private:
    static constexpr int copy_kind = 2;

    [[nodiscard]] static bool has_tile_registers() {
#if defined(__linux__)
        return bf16_product::AmxTiles::available();
#else
        return false;
#endif
    }

    /// The products with tile registers, from packed copies of what the pixels of a task see.
    void multiply_panels(const bf16_product::Pair* left, const bf16_product::Pair* images, const float* offsets,
                         float* out) const {
        using namespace bf16_product;
        const Index words = panel_words(pairs_);
        for_tasks([&] {
            return [&, scope = std::make_unique<TileScope>(), right = Words(block_panels * words),
                    packed = Index{-1}](const Task& task) mutable {
                const PairImage image{images + task.n * image_words(), words_, line_};
                if (const Index key = task.n * pixels_ + task.from; packed != key) {
                    packed = key;
                    for (Index column = 0; column < task.count; column += panel) {
                        pack_seen(image, task.from + column, task.count - column,
                                  right.data() + column / panel * words);
                    }
                }
                const Index row = first_row(task.begin);
                const Index rows = first_row(task.end) - row;
                float* const part = out + (task.n * s_.out + row) * pixels_ + task.from;
                for (Index column = 0; column < task.count; column += panel) {
                    multiply_rows(left + row * stride_, stride_, rows, right.data() + column / panel * words, pairs_,
                                  {part + column, pixels_, std::min(panel, task.count - column)});
                }
                for (Index c = 0; offsets != nullptr && c < rows; ++c) {
                    for (Index i = 0; i < task.count; ++i) {
                        part[c * pixels_ + i] += offsets[row + c];
                    }
                }
            };
        });
    }

    /// One output channel's weights [in, taps] as words [taps, channel pairs].
    FLOWFAR_AVX512_BF16 void pack_weight(const float* weight, bf16_product::Pair* to) const {
        using namespace bf16_product;
        const Index taps = s_.taps();
        const __m512i steps = _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                                                 _mm512_set1_epi32(static_cast<int>(2 * taps)));
        std::fill_n(to + pairs_, padded(pairs_) - pairs_, Pair{0});
        for (Index tap = 0; tap < taps; ++tap) {
            for (Index pair = 0; pair < words_; pair += lanes) {
                const float* const from = weight + 2 * pair * taps + tap;
                const __mmask16 even = first(words_ - pair);
                const __mmask16 odd = first(s_.in / 2 - pair);
                const __m512 zero = _mm512_setzero_ps();
                const __m512i both =
                    (__m512i)_mm512_cvtne2ps_pbh(_mm512_mask_i32gather_ps(zero, odd, steps, from + taps, sizeof(float)),
                                                 _mm512_mask_i32gather_ps(zero, even, steps, from, sizeof(float)));
                _mm512_mask_storeu_epi32(to + tap * words_ + pair, even, zip(both));
            }
        }
    }
    /// Two planes of an image, or one and zeros, as lines of pairs with their margins.
    FLOWFAR_AVX512_BF16 void pack_plane(const float* even, bool both, bf16_product::Pair* to) const {
        using namespace bf16_product;
        for (Index line = 0; line < padded_height_; ++line, to += words_ * line_) {
            const Index y = line - s_.options.top;
            std::fill_n(to, line_, Pair{0});
            for (Index i = 0; y >= 0 && y < s_.height && i < s_.width; i += lanes) {
                const float* const from = even + y * s_.width + i;
                _mm512_mask_storeu_epi32(to + s_.options.left + i, first(s_.width - i),
                                         interleave(from, both ? from + area_ : nullptr, s_.width - i));
            }
        }
    }
    /// What up to 32 output pixels from `from` on see, as a panel.
    FLOWFAR_AVX512_BF16 void pack_seen(const bf16_product::PairImage& image, Index from, Index count,
                                       bf16_product::Pair* to) const {
        using namespace bf16_product;
        std::fill_n(to, panel_words(pairs_), Pair{0});
        for (Index half = 0; half < panel_columns && half < count; half += lanes) {
            const Pair* const seen = image.data + seen_from(from + half);
            for (Index tap = 0; tap < s_.taps(); ++tap) {
                const Pair* const source = seen + tap / s_.kernel_width * words_ * line_ + tap % s_.kernel_width;
                Pair* const target = to + tap * words_ * panel_columns + half;
                for (Index pair = 0; pair < words_; ++pair) {
                    _mm512_storeu_si512(target + pair * panel_columns, _mm512_loadu_si512(source + pair * line_));
                }
            }
        }
    }

    bool panels_;
    Index pairs_;
    Index stride_;
};

}  // namespace flowfar::cpu

#endif
