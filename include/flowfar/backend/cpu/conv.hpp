#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include "flowfar/backend/cpu/bf16_gemm.hpp"
#include "flowfar/backend/cpu/gemm.hpp"
#include "flowfar/backend/cpu/precision.hpp"
#include "flowfar/backend/cpu/storage.hpp"
#include "flowfar/core/conv_shape.hpp"

namespace flowfar::cpu {

/// Convolution as matrix products: what the kernel sees of a block of output pixels is gathered into a matrix
/// [in · taps, pixels] that fits the cache ("im2col"), so memory stays small for any image. All operands are
/// contiguous.
class Conv {
   public:
    explicit Conv(const ConvShape& shape) : s_(shape), pixels_(shape.pixels()), inner_(shape.in * shape.taps()) {}

    /// x [batch, in, h, w], weight [out, in, kh, kw], bias [out] or undefined → y.
    void forward(const Handle& x, const Handle& weight, const Handle& bias, const Handle& y) const {
        const ConvOptions& o = s_.options;
        const bool direct = s_.taps() == 1 && o.stride == 1 && o.top + o.left + o.bottom + o.right == 0;
        const Index block = direct ? std::min<Index>(pixels_, 1024) : block_of(inner_);
        const Index blocks = (pixels_ + block - 1) / block;
        // Small images have fewer blocks than there are threads; then the output channels are split as well.
        const Index tasks = std::max<Index>(s_.batch * blocks, 1);
        const Index wanted =
            std::clamp<Index>(2 * ThreadPool::instance().threads() / tasks, 1, std::max<Index>(s_.out / 32, 1));
        const Index part = (s_.out + wanted - 1) / wanted;
        const Index parts = (s_.out + part - 1) / part;
        const bool rounds = multiplies_bf16(DType::f32);
        const Scratch packed(rounds ? packed_words(s_.out) : 0);
        if (rounds) {
            pack_weight(weight, packed.data());
        }
        parallel_for(s_.batch * blocks * parts, 1, [&](Index begin, Index end) {
            const Scratch columns(direct ? 0 : inner_ * block);
            for (Index task = begin; task < end; ++task) {
                const Index n = task / parts / blocks;
                const Index first = task / parts % blocks * block;
                const Index count = std::min(block, pixels_ - first);
                const Index channel = task % parts * part;
                const Index channels = std::min(part, s_.out - channel);
                const float* const image = x.data<float>() + n * s_.in * s_.height * s_.width;
                MatrixView seen{image + first, pixels_, true};
                if (rounds && !direct && reads_image()) {
                    seen = {nullptr, 0, true};
                } else if (!direct) {
                    gather(image, s_.in, first, first + count, columns.data());
                    seen = {columns.data(), count, true};
                }
                float* const out = y.data<float>() + (n * s_.out + channel) * pixels_ + first;
                if (rounds) {
                    multiply_packed(packed.data(), channel, channels, seen, image, first, count, bias, out);
                    continue;
                }
                multiply({weight.data<float>() + channel * inner_, inner_, true}, seen, out, pixels_, channels, inner_,
                         count, 1.0F);
                for (Index c = 0; bias.defined() && c < channels; ++c) {
                    const float offset = bias.data<float>()[channel + c];
                    for (Index i = 0; i < count; ++i) {
                        out[c * pixels_ + i] += offset;
                    }
                }
            }
        });
    }

    /// Adds weightᵀ g, scattered back, to dx (zeros before). Each task owns some input channels, so that nothing is
    /// added by two threads and the result does not depend on their number.
    void backward_input(const Handle& weight, const Handle& g, const Handle& dx) const {
        const Index taps = s_.taps();
        const Index block = block_of(std::min(owned, s_.in) * taps);
        parallel_for((s_.in + owned - 1) / owned, 1, [&](Index begin, Index end) {
            const Scratch columns(std::min(owned, s_.in) * taps * block);
            for (Index channel = begin * owned; channel < std::min(end * owned, s_.in); channel += owned) {
                const Index channels = std::min(owned, s_.in - channel);
                for_each_block(block, [&](Index n, Index first, Index count) {
                    multiply({weight.data<float>() + channel * taps, inner_, false}, gradient(g, n, first),
                             columns.data(), count, channels * taps, s_.out, count, 1.0F);
                    scatter(columns.data(), channels, first, first + count,
                            dx.data<float>() + (n * s_.in + channel) * s_.height * s_.width);
                });
            }
        });
    }

    /// Adds g seenᵀ to dw (zeros before); tasks own input channels as in `backward_input`.
    void backward_weight(const Handle& x, const Handle& g, const Handle& dw) const {
        const Index taps = s_.taps();
        const Index block = block_of(std::min(owned, s_.in) * taps);
        parallel_for((s_.in + owned - 1) / owned, 1, [&](Index begin, Index end) {
            const Scratch columns(std::min(owned, s_.in) * taps * block);
            for (Index channel = begin * owned; channel < std::min(end * owned, s_.in); channel += owned) {
                const Index channels = std::min(owned, s_.in - channel);
                for_each_block(block, [&](Index n, Index first, Index count) {
                    gather(x.data<float>() + (n * s_.in + channel) * s_.height * s_.width, channels, first,
                           first + count, columns.data());
                    multiply(gradient(g, n, first), {columns.data(), count, false}, dw.data<float>() + channel * taps,
                             inner_, s_.out, count, channels * taps, 1.0F, true);
                });
            }
        });
    }

   private:
    /// A matrix from the cache of freed blocks: fresh pages would cost more than filling it.
    class Scratch {
       public:
        explicit Scratch(Index count)
            : block_(BlockCache::instance().allocate(static_cast<std::size_t>(count) * sizeof(float))) {}
        [[nodiscard]] float* data() const { return reinterpret_cast<float*>(block_.get()); }

       private:
        std::shared_ptr<std::byte> block_;
    };

#if defined(FLOWFAR_AVX512_BF16)
    /// 32-bit words of `rows` packed rows of the weight.
    [[nodiscard]] Index packed_words(Index rows) const {
        return rows * bf16_product::left_stride(bf16_product::pair_count(inner_));
    }
    void pack_weight(const Handle& weight, float* to) const {
        bf16_product::pack_left(bf16_product::View<float>{weight.data<float>(), inner_, true}, s_.out, inner_,
                                reinterpret_cast<bf16_product::Pair*>(to));
    }
    /// Whether 16 neighbouring outputs see, through one tap, 16 neighbouring pixels of one line: then no gathering.
    [[nodiscard]] bool reads_image() const {
        return s_.options.stride == 1 && s_.out_width % bf16_product::lanes == 0;
    }
    /// What up to 32 output pixels from `first` on see of the image, as a panel.
    FLOWFAR_AVX512_BF16 void pack_seen(const float* image, Index first, Index count, bf16_product::Pair* to) const {
        using namespace bf16_product;
        struct Seen {
            Index offset;
            __mmask16 inside;
        };
        std::vector<Seen> taps(static_cast<std::size_t>(s_.taps()));
        for (Index half = 0; half < panel_columns; half += lanes) {
            const Index line = (first + half) / s_.out_width;
            const Index column = (first + half) % s_.out_width;
            for (Index tap = 0; tap < s_.taps(); ++tap) {
                const Index y = line + tap / s_.kernel_width - s_.options.top;
                const Index x = column + tap % s_.kernel_width - s_.options.left;
                const bool inside = y >= 0 && y < s_.height && half < count;
                const auto up_to = [](Index n) { return (1U << std::clamp<Index>(n, 0, lanes)) - 1U; };
                taps[static_cast<std::size_t>(tap)] = {
                    y * s_.width + x, static_cast<__mmask16>(inside ? up_to(s_.width - x) & ~up_to(-x) : 0U)};
            }
            const float* channel = image;
            auto tap = taps.begin();
            const auto next = [&] {
                const std::pair<const float*, __mmask16> here{channel + tap->offset, tap->inside};
                if (++tap == taps.end()) {
                    tap = taps.begin();
                    channel += s_.height * s_.width;
                }
                return here;
            };
            const Index pairs = pair_count(inner_);
            for (Index p = 0; p < pairs; ++p) {
                const auto upper = next();
                const auto lower = 2 * p + 1 < inner_ ? next() : std::pair<const float*, __mmask16>{image, 0};
                _mm512_storeu_si512(to + p * panel_columns + half,
                                    interleave(upper.first, upper.second, lower.first, lower.second));
            }
        }
    }
    /// out = weight rows [channel, channel + channels) times what pixels [first, first + count) see, plus bias, with
    /// rows `pixels_` apart. `seen` is that matrix; without data it is read off the image.
    void multiply_packed(const float* weight, Index channel, Index channels, MatrixView seen, const float* image,
                         Index first, Index count, const Handle& bias, float* out) const {
        using namespace bf16_product;
        const Index pairs = pair_count(inner_);
        const Words panels(panel_count(count) * pairs * panel_columns);
        for (Index column = 0; column < count; column += panel_columns) {
            if (seen.data == nullptr) {
                pack_seen(image, first + column, count - column, panels.data() + column * pairs);
            } else {
                pack_panel(View<float>{seen.data, seen.ld, true}, column, count - column, inner_,
                           panels.data() + column * pairs);
            }
        }
        const auto* const left = reinterpret_cast<const Pair*>(weight) + packed_words(channel);
        const Index tiles = (channels + tile_rows - 1) / tile_rows;
        for (Index tile = 0; tile < tiles; tile += packed_tiles) {  // that many rows stay in the second cache
            const Index row = channels * tile / tiles;
            const Index rows = channels * std::min(tile + packed_tiles, tiles) / tiles - row;
            for (Index column = 0; column < count; column += panel_columns) {
                multiply_rows(left + packed_words(row), packed_words(1), rows, panels.data() + column * pairs, pairs,
                              {out + row * pixels_ + column, pixels_, std::min(panel_columns, count - column)});
            }
        }
        for (Index c = 0; bias.defined() && c < channels; ++c) {
            const float offset = bias.data<float>()[channel + c];
            for (Index i = 0; i < count; ++i) {
                out[c * pixels_ + i] += offset;
            }
        }
    }
    static constexpr Index packed_tiles = 4;
#else
    [[nodiscard]] Index packed_words(Index) const {
        return 0;
    }
    void pack_weight(const Handle&, float*) const {}
    [[nodiscard]] bool reads_image() const {
        return false;
    }
    void multiply_packed(const float*, Index, Index, MatrixView, const float*, Index, Index, const Handle&,
                         float*) const {}
#endif

    static constexpr Index owned = 16;  ///< input channels that a task of a backward pass owns

    /// Output pixels per block, for a matrix of about 1 MiB with this many rows.
    [[nodiscard]] Index block_of(Index rows) const {
        const Index fitting = (Index{1} << 18) / rows / 16 * 16;
        return std::min(pixels_, std::clamp<Index>(fitting, 64, 4096));
    }
    template <class F>
    void for_each_block(Index block, F&& f) const {
        for (Index n = 0; n < s_.batch; ++n) {
            for (Index first = 0; first < pixels_; first += block) {
                f(n, first, std::min(block, pixels_ - first));
            }
        }
    }
    [[nodiscard]] MatrixView gradient(const Handle& g, Index n, Index first) const {
        return {g.data<float>() + n * s_.out * pixels_ + first, pixels_, true};
    }

    /// Calls `f(at, from, count)` for all runs of output pixels [begin, end) that one tap sees inside the image:
    /// entries at, at + 1, … of the matrix are elements from, from + stride, … of the image.
    template <class F>
    void for_each_run(Index channels, Index begin, Index end, F&& f) const {
        const ConvOptions& o = s_.options;
        const auto steps = [&](Index distance) { return (std::max<Index>(distance, 0) + o.stride - 1) / o.stride; };
        Index row = 0;  // of the matrix
        for (Index channel = 0; channel < channels; ++channel) {
            for (Index tap = 0; tap < s_.taps(); ++tap, ++row) {
                const Index shift = tap % s_.kernel_width - o.left;
                const Index low = steps(-shift);
                const Index high = steps(s_.width - shift);
                for (Index pixel = begin; pixel < end;) {
                    const Index line = pixel / s_.out_width;
                    const Index column = pixel % s_.out_width;
                    const Index length = std::min(s_.out_width - column, end - pixel);
                    const Index y = line * o.stride + tap / s_.kernel_width - o.top;
                    const Index first = std::max(low, column);
                    const Index last = std::min(high, column + length);
                    if (y >= 0 && y < s_.height && first < last) {
                        f(row * (end - begin) + pixel - begin + first - column,
                          (channel * s_.height + y) * s_.width + first * o.stride + shift, last - first);
                    }
                    pixel += length;
                }
            }
        }
    }
    void gather(const float* image, Index channels, Index begin, Index end, float* columns) const {
        std::fill_n(columns, channels * s_.taps() * (end - begin), 0.0F);
        const Index stride = s_.options.stride;
        for_each_run(channels, begin, end, [=](Index at, Index from, Index count) {
            if (stride == 1) {
                std::copy_n(image + from, count, columns + at);
                return;
            }
            for (Index i = 0; i < count; ++i) {
                columns[at + i] = image[from + i * stride];
            }
        });
    }
    void scatter(const float* columns, Index channels, Index begin, Index end, float* image) const {
        const Index stride = s_.options.stride;
        for_each_run(channels, begin, end, [=](Index at, Index from, Index count) {
            for (Index i = 0; i < count; ++i) {
                image[from + i * stride] += columns[at + i];
            }
        });
    }

    ConvShape s_;
    Index pixels_;
    Index inner_;
};

}  // namespace flowfar::cpu
