#pragma once

#include "flowfar/backend/cpu/bf16_gemm.hpp"
#include "flowfar/core/conv_shape.hpp"

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

/// A tile as in bf16_kernel.hpp whose right operand is what 32 output pixels see of an image, 16 from `low` and 16 from
/// `high` on: of every line and column of the kernel, all channel pairs. `bias`, one per row, may be null.
template <int Rows>
FLOWFAR_AVX512_BF16 void seen_tile(const Pair* a, Index stride, const PairImage& image, const Pair* low,
                                   const Pair* high, Index kernel_height, Index kernel_width, const float* bias,
                                   const Target& to) {
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
    put(sums, to, rows);
}

inline constexpr auto seen_tiles = tile_table([]<int Rows>() { return &seen_tile<Rows>; });

}  // namespace bf16_product

/// Convolution of images and weights rounded to bf16, with f32 sums. The inner extent runs over taps, then pairs of
/// channels, so that what 16 neighbouring outputs see through one tap is 16 neighbouring words of an image whose words
/// are pairs of channels: tiles of vector registers read them where they are, tile registers from packed panels. To be
/// used only where has_avx512_bf16() says so.
class Bf16Conv {
   public:
    /// Whether the shape suits: 16 neighbouring outputs lie in one line and see neighbouring pixels.
    [[nodiscard]] static bool takes(const ConvShape& shape) {
        return shape.options.stride == 1 && shape.out_width % bf16_product::lanes == 0;
    }

    /// `panels` chooses packed panels, which tile registers need.
    explicit Bf16Conv(const ConvShape& shape, bool panels = has_tile_registers())
        : s_(shape),
          panels_(panels),
          area_(shape.height * shape.width),
          pixels_(shape.pixels()),
          channel_pairs_(bf16_product::pair_count(shape.in)),
          pairs_(channel_pairs_ * shape.taps()),
          padded_height_(shape.out_height + shape.kernel_height - 1),
          line_(bf16_product::left_stride(shape.out_width + shape.kernel_width - 1)),
          stride_(bf16_product::left_stride(pairs_)) {}

    /// x [batch, in, h, w], weight [out, in, kh, kw], bias [out] or undefined → y; all contiguous f32.
    void forward(const Handle& x, const Handle& weight, const Handle& bias, const Handle& y) const {
        using namespace bf16_product;
        const Words left = kept_or(weight, copy_kind, [&] {
            Words packed(padded_rows(s_.out + tile_rows) * stride_);  // the last block may begin anywhere
            parallel_for(s_.out, 8, [&](Index begin, Index end) {
                for (Index row = begin; row < end; ++row) {
                    pack_weight(weight.data<float>() + row * s_.in * s_.taps(), packed.data() + row * stride_);
                }
            });
            return packed;
        });
        const Words image(s_.batch * image_words());
        parallel_for(s_.batch * channel_pairs_, 1, [&](Index begin, Index end) {
            for (Index plane = begin; plane < end; ++plane) {
                const Index channel = 2 * (plane % channel_pairs_);
                pack_plane(x.data<float>() + (plane / channel_pairs_ * s_.in + channel) * area_, channel + 1 < s_.in,
                           image.data() + plane / channel_pairs_ * image_words() + plane % channel_pairs_ * line_);
            }
        });
        const Index panels = panel_count(pixels_);
        const Index blocks = (panels + block_panels - 1) / block_panels;
        const Index tiles = (s_.out + tile_rows - 1) / tile_rows;
        // Small images have fewer blocks than there are threads; then the output channels are split as well.
        const Index wanted = 8 * ThreadPool::instance().threads();
        const Index parts = std::clamp<Index>((wanted + s_.batch * blocks - 1) / (s_.batch * blocks), 1, tiles);
        parallel_for(s_.batch * blocks * parts, 1, [&](Index begin, Index end) {
            const TileScope scope;
            const Words right(panels_ ? block_panels * panel_words(pairs_) : 0);
            Index packed = -1;
            for (Index task = begin; task < end; ++task) {
                const Index n = task / parts / blocks;
                const Index from = task / parts % blocks * block_panels * panel_columns;
                const Index count = std::min(block_panels * panel_columns, pixels_ - from);
                const PairImage seen{image.data() + n * image_words(), channel_pairs_, line_};
                if (panels_ && packed != task / parts) {
                    packed = task / parts;
                    for (Index column = 0; column < count; column += panel_columns) {
                        pack_seen(seen, from + column, count - column,
                                  right.data() + column / panel_columns * panel_words(pairs_));
                    }
                }
                const Index part = task % parts;
                multiply_tiles(left.data(), tiles * part / parts, tiles * (part + 1) / parts, tiles, seen, right.data(),
                               from, count, bias, y.data<float>() + n * s_.out * pixels_ + from);
            }
        });
    }

   private:
    static constexpr int copy_kind = 2;
    /// Panels that are computed together: what they see stays in the second cache.
    static constexpr Index block_panels = 3;

    [[nodiscard]] static bool has_tile_registers() {
#if defined(__linux__)
        return bf16_product::AmxTiles::available();
#else
        return false;
#endif
    }

    /// Output channels of tiles [begin, end) for the `count` pixels from `from` on, which see `image` or, packed,
    /// `right`; rows of `out` are `pixels_` apart.
    void multiply_tiles(const bf16_product::Pair* left, Index begin, Index end, Index tiles,
                        const bf16_product::PairImage& image, const bf16_product::Pair* right, Index from, Index count,
                        const Handle& bias, float* out) const {
        using namespace bf16_product;
        const float* const offsets = bias.defined() ? bias.data<float>() : nullptr;
        constexpr Index together = 4;  // that many tiles of the weight stay in the second cache
        for (Index tile = begin; tile < end; tile += together) {
            const Index last = std::min(tile + together, end);
            for (Index column = 0; column < count; column += panel_columns) {
                const Index columns = std::min(panel_columns, count - column);
                const auto target = [&](Index row) { return Target{out + row * pixels_ + column, pixels_, columns}; };
                if (panels_) {
                    const Index row = s_.out * tile / tiles;
                    multiply_rows(left + row * stride_, stride_, s_.out * last / tiles - row,
                                  right + column / panel_columns * panel_words(pairs_), pairs_, target(row));
                } else {
                    const Pair* const low = seen_from(image, from + column);
                    const Pair* const high = columns > lanes ? seen_from(image, from + column + lanes) : low;
                    for (Index t = tile; t < last; ++t) {
                        const Index row = s_.out * t / tiles;
                        const auto rows = static_cast<std::size_t>(s_.out * (t + 1) / tiles - row);
                        seen_tiles[rows - 1](left + row * stride_, stride_, image, low, high, s_.kernel_height,
                                             s_.kernel_width, offsets == nullptr ? nullptr : offsets + row,
                                             target(row));
                    }
                }
            }
            for (Index c = s_.out * tile / tiles; panels_ && offsets != nullptr && c < s_.out * last / tiles; ++c) {
                for (Index i = 0; i < count; ++i) {
                    out[c * pixels_ + i] += offsets[c];
                }
            }
        }
    }
    /// The first word that the output pixel sees.
    [[nodiscard]] const bf16_product::Pair* seen_from(const bf16_product::PairImage& image, Index pixel) const {
        return image.at(pixel / s_.out_width, pixel % s_.out_width);
    }

    /// One output channel's weights [in, taps] as words [taps, channel pairs].
    FLOWFAR_AVX512_BF16 void pack_weight(const float* weight, bf16_product::Pair* to) const {
        using namespace bf16_product;
        const Index taps = s_.taps();
        const __m512i steps = _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                                                 _mm512_set1_epi32(static_cast<int>(2 * taps)));
        std::fill_n(to + pairs_, padded(pairs_) - pairs_, Pair{0});
        for (Index tap = 0; tap < taps; ++tap) {
            for (Index pair = 0; pair < channel_pairs_; pair += lanes) {
                const float* const from = weight + 2 * pair * taps + tap;
                const __mmask16 even = first(channel_pairs_ - pair);
                const __mmask16 odd = first(s_.in / 2 - pair);
                const __m512 zero = _mm512_setzero_ps();
                const __m512i both =
                    (__m512i)_mm512_cvtne2ps_pbh(_mm512_mask_i32gather_ps(zero, odd, steps, from + taps, sizeof(float)),
                                                 _mm512_mask_i32gather_ps(zero, even, steps, from, sizeof(float)));
                _mm512_mask_storeu_epi32(to + tap * channel_pairs_ + pair, even, zip(both));
            }
        }
    }
    /// Words of one image. In this order, what a tile takes from a line lies together; from whole planes it would come
    /// from as many pages, and fall into the same few sets of the cache.
    [[nodiscard]] Index image_words() const {
        return padded_height_ * channel_pairs_ * line_;
    }

    /// Two planes of an image, or one and zeros, as lines of pairs with their margins.
    FLOWFAR_AVX512_BF16 void pack_plane(const float* even, bool both, bf16_product::Pair* to) const {
        using namespace bf16_product;
        for (Index line = 0; line < padded_height_; ++line, to += channel_pairs_ * line_) {
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
            const Pair* const seen = seen_from(image, from + half);
            for (Index tap = 0; tap < s_.taps(); ++tap) {
                const Pair* const source =
                    seen + tap / s_.kernel_width * channel_pairs_ * line_ + tap % s_.kernel_width;
                Pair* const target = to + tap * channel_pairs_ * panel_columns + half;
                for (Index pair = 0; pair < channel_pairs_; ++pair) {
                    _mm512_storeu_si512(target + pair * panel_columns, _mm512_loadu_si512(source + pair * line_));
                }
            }
        }
    }

    ConvShape s_;
    bool panels_;
    Index area_;
    Index pixels_;
    Index channel_pairs_;
    Index pairs_;
    Index padded_height_;
    Index line_;  ///< words from one channel pair to the next: whole cache lines, an odd number of them
    Index stride_;
};

}  // namespace flowfar::cpu

#endif
