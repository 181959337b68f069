#pragma once

#include "flowfar/backend/cpu/bf16_gemm.hpp"
#include "flowfar/core/conv_shape.hpp"

#if defined(FLOWFAR_AVX512_BF16)

namespace flowfar::cpu {

/// Convolution of images and weights rounded to bf16, with f32 sums: products of packed weights with panels of 32
/// output pixels. The inner extent runs over taps, then pairs of channels, so that what 16 neighbouring outputs see
/// through one tap is 16 neighbouring words of an image whose words are pairs of channels. To be used only where
/// has_avx512_bf16() says so.
class Bf16Conv {
   public:
    /// Whether the shape suits: 16 neighbouring outputs lie in one line and see neighbouring pixels.
    [[nodiscard]] static bool takes(const ConvShape& shape) {
        return shape.options.stride == 1 && shape.out_width % bf16_product::lanes == 0;
    }

    explicit Bf16Conv(const ConvShape& shape)
        : s_(shape),
          area_(shape.height * shape.width),
          pixels_(shape.pixels()),
          channel_pairs_(bf16_product::pair_count(shape.in)),
          pairs_(channel_pairs_ * shape.taps()),
          stride_(bf16_product::left_stride(pairs_)) {}

    /// x [batch, in, h, w], weight [out, in, kh, kw], bias [out] or undefined → y; all contiguous f32.
    void forward(const Handle& x, const Handle& weight, const Handle& bias, const Handle& y) const {
        using namespace bf16_product;
        const Words left(padded_rows(s_.out + tile_rows) * stride_);  // the last block may begin anywhere
        parallel_for(s_.out, 8, [&](Index begin, Index end) {
            for (Index row = begin; row < end; ++row) {
                pack_weight(weight.data<float>() + row * s_.in * s_.taps(), left.data() + row * stride_);
            }
        });
        const Words image(s_.batch * channel_pairs_ * area_);
        parallel_for(s_.batch * channel_pairs_, 1, [&](Index begin, Index end) {
            for (Index plane = begin; plane < end; ++plane) {
                const Index channel = 2 * (plane % channel_pairs_);
                pack_plane(x.data<float>() + (plane / channel_pairs_ * s_.in + channel) * area_, channel + 1 < s_.in,
                           image.data() + plane * area_);
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
            const Words right(block_panels * panel_words(pairs_));
            Index packed = -1;
            for (Index task = begin; task < end; ++task) {
                const Index n = task / parts / blocks;
                const Index first = task / parts % blocks * block_panels * panel_columns;
                const Index count = std::min(block_panels * panel_columns, pixels_ - first);
                if (packed != task / parts) {
                    packed = task / parts;
                    for (Index column = 0; column < count; column += panel_columns) {
                        pack_seen(image.data() + n * channel_pairs_ * area_, first + column, count - column,
                                  right.data() + column / panel_columns * panel_words(pairs_));
                    }
                }
                const Index part = task % parts;
                multiply_tiles(left.data(), tiles * part / parts, tiles * (part + 1) / parts, tiles, right.data(),
                               count, bias, y.data<float>() + n * s_.out * pixels_ + first);
            }
        });
    }

   private:
    /// Panels that are packed at a time.
    static constexpr Index block_panels = 8;

    /// Output channels of tiles [begin, end) for the pixels of a block; rows of `out` are `pixels_` apart.
    void multiply_tiles(const bf16_product::Pair* left, Index begin, Index end, Index tiles,
                        const bf16_product::Pair* right, Index count, const Handle& bias, float* out) const {
        using namespace bf16_product;
        constexpr Index together = 4;  // that many tiles of the weight stay in the second cache
        for (Index tile = begin; tile < end; tile += together) {
            const Index row = s_.out * tile / tiles;
            const Index rows = s_.out * std::min(tile + together, end) / tiles - row;
            for (Index column = 0; column < count; column += panel_columns) {
                multiply_rows(left + row * stride_, stride_, rows, right + column / panel_columns * panel_words(pairs_),
                              pairs_, {out + row * pixels_ + column, pixels_, std::min(panel_columns, count - column)});
            }
            for (Index c = row; bias.defined() && c < row + rows; ++c) {
                const float offset = bias.data<float>()[c];
                for (Index i = 0; i < count; ++i) {
                    out[c * pixels_ + i] += offset;
                }
            }
        }
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
    /// Two planes of an image, or one and zeros, as one plane of pairs.
    FLOWFAR_AVX512_BF16 void pack_plane(const float* even, bool both, bf16_product::Pair* to) const {
        using namespace bf16_product;
        for (Index i = 0; i < area_; i += lanes) {
            _mm512_mask_storeu_epi32(to + i, first(area_ - i),
                                     interleave(even + i, both ? even + area_ + i : nullptr, area_ - i));
        }
    }
    /// What up to 32 output pixels from `from` on see of the image of pairs, as a panel.
    FLOWFAR_AVX512_BF16 void pack_seen(const bf16_product::Pair* image, Index from, Index count,
                                       bf16_product::Pair* to) const {
        using namespace bf16_product;
        std::fill_n(to + pairs_ * panel_columns, panel_words(pairs_) - pairs_ * panel_columns, Pair{0});
        for (Index half = 0; half < panel_columns; half += lanes) {
            const Index line = (from + half) / s_.out_width;
            const Index column = (from + half) % s_.out_width;
            for (Index tap = 0; tap < s_.taps(); ++tap) {
                const Index y = line + tap / s_.kernel_width - s_.options.top;
                const Index x = column + tap % s_.kernel_width - s_.options.left;
                const bool inside = y >= 0 && y < s_.height && half < count;
                const auto seen = static_cast<__mmask16>(inside ? first(s_.width - x) & ~first(-x) : 0);
                const Pair* const source = image + y * s_.width + x;
                Pair* const target = to + tap * channel_pairs_ * panel_columns + half;
                for (Index pair = 0; pair < channel_pairs_; ++pair) {
                    _mm512_storeu_si512(target + pair * panel_columns,
                                        _mm512_maskz_loadu_epi32(seen, source + pair * area_));
                }
            }
        }
    }

    ConvShape s_;
    Index area_;
    Index pixels_;
    Index channel_pairs_;
    Index pairs_;
    Index stride_;
};

}  // namespace flowfar::cpu

#endif
