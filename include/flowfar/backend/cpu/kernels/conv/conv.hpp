#pragma once

#include <algorithm>

#include "flowfar/backend/cpu/kernels/gemm/gemm.hpp"
#include "flowfar/backend/cpu/runtime/block_cache.hpp"
#include "flowfar/core/shapes/conv_shape.hpp"

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
        parallel_for(s_.batch * blocks * parts, 1, [&](Index begin, Index end) {
            const CachedArray<float> columns(direct ? 0 : inner_ * block);
            for (Index task = begin; task < end; ++task) {
                const Index n = task / parts / blocks;
                const Index first = task / parts % blocks * block;
                const Index count = std::min(block, pixels_ - first);
                const Index channel = task % parts * part;
                const Index channels = std::min(part, s_.out - channel);
                const float* const image = x.data<float>() + n * s_.in * s_.height * s_.width;
                MatrixView seen{image + first, pixels_, true};
                if (!direct) {
                    gather(image, s_.in, first, first + count, columns.data());
                    seen = {columns.data(), count, true};
                }
                float* const out = y.data<float>() + (n * s_.out + channel) * pixels_ + first;
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
            const CachedArray<float> columns(std::min(owned, s_.in) * taps * block);
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
            const CachedArray<float> columns(std::min(owned, s_.in) * taps * block);
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
