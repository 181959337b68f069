#pragma once

#include "flowfar/backend/cpu/kernels/conv/image_conv.hpp"
#include "flowfar/backend/cpu/kernels/gemm/gemm_avx512.hpp"

#if defined(FLOWFAR_AVX512)

#include <array>
#include <immintrin.h>
#include <utility>

namespace flowfar::cpu {

/// Convolution of f32 whose tiles read the image and the weight where they are. An element is one chain of
/// multiply-adds over channels, then taps. To be used only where instruction_set() is avx512.
class F32Conv : public ImageConv {
   public:
    explicit F32Conv(const ConvShape& shape) : ImageConv(shape, shape.in), inner_(shape.in * shape.taps()) {}

    /// x [batch, in, h, w], weight [out, in, kh, kw], bias [out] or undefined → y; all contiguous.
    void forward(const Handle& x, const Handle& weight, const Handle& bias, const Handle& y) const {
        const auto block = packed_images<float>([&](Index n, Index channel, float* to) {
            pack_plane(x.data<float>() + (n * s_.in + channel) * area_, to);
        });
        const float* const images = reinterpret_cast<const float*>(block.get());
        const float* const offsets = bias.defined() ? bias.data<float>() : nullptr;
        for_tasks([&] {
            return [&](const Task& task) {
                const float* const image = images + task.n * image_words();
                for_each_tile(task, [&](Index tile, Index column, Index columns) {
                    const Index row = first_row(tile);
                    const float* const low = image + seen_from(task.from + column);
                    const float* const high = columns > lanes ? image + seen_from(task.from + column + lanes) : low;
                    tiles_of_rows[static_cast<std::size_t>(first_row(tile + 1) - row - 1)](
                        *this, weight.data<float>() + row * inner_, low, high,
                        offsets == nullptr ? nullptr : offsets + row,
                        y.data<float>() + (task.n * s_.out + row) * pixels_ + task.from + column, columns > lanes);
                });
            };
        });
    }

   private:
    /// `Rows` output channels of 16 pixels that see the image from `low` on and, with `both`, 16 from `high` on.
    template <int Rows>
    FLOWFAR_AVX512 static void tile(const F32Conv& conv, const float* a, const float* low, const float* high,
                                    const float* bias, float* c, bool both) {
        __m512 sums[2 * Rows];
        for (int row = 0; row < Rows; ++row) {
            sums[2 * row] = sums[2 * row + 1] = _mm512_setzero_ps();
        }
        for (Index channel = 0; channel < conv.words_; ++channel) {
            for (Index ky = 0; ky < conv.s_.kernel_height; ++ky) {
                const Index line = (ky * conv.words_ + channel) * conv.line_;
                for (Index kx = 0; kx < conv.s_.kernel_width; ++kx, ++a) {
                    multiply_add(sums, a, conv.inner_, _mm512_loadu_ps(low + line + kx),
                                 _mm512_loadu_ps(high + line + kx), std::make_integer_sequence<int, Rows>{});
                }
            }
        }
        for (int row = 0; row < Rows; ++row) {
            const __m512 offset = _mm512_set1_ps(bias == nullptr ? 0.0F : bias[row]);
            _mm512_storeu_ps(c + row * conv.pixels_, _mm512_add_ps(sums[2 * row], offset));
            if (both) {
                _mm512_storeu_ps(c + row * conv.pixels_ + lanes, _mm512_add_ps(sums[2 * row + 1], offset));
            }
        }
    }
    template <int... R>
    [[gnu::always_inline]] FLOWFAR_AVX512 static inline void multiply_add(__m512 (&sums)[2 * sizeof...(R)],
                                                                          const float* a, Index stride, __m512 low,
                                                                          __m512 high,
                                                                          std::integer_sequence<int, R...> /*rows*/) {
        (..., (sums[2 * R] = _mm512_fmadd_ps(_mm512_set1_ps(a[R * stride]), low, sums[2 * R]),
               sums[2 * R + 1] = _mm512_fmadd_ps(_mm512_set1_ps(a[R * stride]), high, sums[2 * R + 1])));
    }
    using Tile = void (*)(const F32Conv&, const float*, const float*, const float*, const float*, float*, bool);
    static constexpr auto tiles_of_rows = []<int... R>(std::integer_sequence<int, R...>) {
        return std::array<Tile, sizeof...(R)>{&tile<R + 1>...};
    }(std::make_integer_sequence<int, most_rows>{});

    /// One channel's plane as lines with their margins.
    void pack_plane(const float* from, float* to) const {
        for (Index line = 0; line < padded_height_; ++line, to += words_ * line_) {
            const Index y = line - s_.options.top;
            std::fill_n(to, line_, 0.0F);
            if (y >= 0 && y < s_.height) {
                std::copy_n(from + y * s_.width, s_.width, to + s_.options.left);
            }
        }
    }

    Index inner_;
};

}  // namespace flowfar::cpu

#endif
