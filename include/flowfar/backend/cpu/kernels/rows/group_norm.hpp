#pragma once

#include <cmath>

#include "flowfar/backend/cpu/kernels/rows/row_loops.hpp"
#include "flowfar/core/handle.hpp"
#include "flowfar/core/memory_pool.hpp"
#include "flowfar/core/op_options.hpp"

namespace flowfar::cpu {

/// Group norm of x [batch, channels, …] with weight and bias [channels]; all operands are contiguous.
class GroupNorm {
   public:
    GroupNorm(const Extents& x, Index groups, double epsilon)
        : batch_(x[0]), channels_(x[1]), groups_(groups), per_group_(x[1] / groups), epsilon_(epsilon) {
        for (int axis = 2; axis < x.rank(); ++axis) {
            pixels_ *= x[axis];
        }
    }

    void forward(const Handle& x, const Handle& weight, const Handle& bias, const Handle& y) const {
        parallel_for(batch_ * groups_, 1, [&](Index begin, Index end) {
            for (Index task = begin; task < end; ++task) {
                const float* const in = x.data<float>() + task * per_group_ * pixels_;
                float* const out = y.data<float>() + task * per_group_ * pixels_;
                const auto [mean, rstd] = statistics(in);
                for (Index c = 0; c < per_group_; ++c) {
                    const Index channel = task % groups_ * per_group_ + c;
                    const float gain = weight.data<float>()[channel];
                    const float offset = bias.data<float>()[channel];
                    for (Index i = c * pixels_; i < (c + 1) * pixels_; ++i) {
                        out[i] = (in[i] - mean) * rstd * gain + offset;
                    }
                }
            }
        });
    }

    /// With n the normalized input and h = g · weight: dx = rstd (h − mean(h) − n mean(h n)), means over the group;
    /// dweight = Σ g n and dbias = Σ g over batch and pixels.
    void backward(const Handle& x, const Handle& weight, const Handle& g, const NormGradients<Handle>& out) const {
        PoolVector<double> sums(static_cast<std::size_t>(batch_ * channels_));
        PoolVector<double> products(sums.size());
        parallel_for(batch_ * groups_, 1, [&](Index begin, Index end) {
            for (Index task = begin; task < end; ++task) {
                const Index first = task * per_group_;  // of (sample, channel) pairs
                const float* const in = x.data<float>() + first * pixels_;
                const float* const gradient = g.data<float>() + first * pixels_;
                const float* const gain = weight.data<float>() + task % groups_ * per_group_;
                const auto [mean, rstd] = statistics(in);
                double sum_h = 0.0;
                double sum_hn = 0.0;
                for (Index c = 0; c < per_group_; ++c) {
                    const Index start = c * pixels_;
                    const double s = sum_of(pixels_, [&](Index i) { return gradient[start + i]; });
                    const double p = sum_of(pixels_, [&, m = mean, r = rstd](Index i) {
                        return gradient[start + i] * ((in[start + i] - m) * r);
                    });
                    sums[static_cast<std::size_t>(first + c)] = s;
                    products[static_cast<std::size_t>(first + c)] = p;
                    sum_h += s * static_cast<double>(gain[c]);
                    sum_hn += p * static_cast<double>(gain[c]);
                }
                const auto count = static_cast<double>(per_group_ * pixels_);
                const auto mean_h = static_cast<float>(sum_h / count);
                const auto mean_hn = static_cast<float>(sum_hn / count);
                float* const dx = out.input.data<float>() + first * pixels_;
                for (Index c = 0; c < per_group_; ++c) {
                    for (Index i = c * pixels_; i < (c + 1) * pixels_; ++i) {
                        const float n = (in[i] - mean) * rstd;
                        dx[i] = rstd * (gradient[i] * gain[c] - mean_h - n * mean_hn);
                    }
                }
            }
        });
        for (Index c = 0; c < channels_; ++c) {
            double scale = 0.0;
            double shift = 0.0;
            for (Index n = 0; n < batch_; ++n) {
                scale += products[static_cast<std::size_t>(n * channels_ + c)];
                shift += sums[static_cast<std::size_t>(n * channels_ + c)];
            }
            out.scale.data<float>()[c] = static_cast<float>(scale);
            out.shift.data<float>()[c] = static_cast<float>(shift);
        }
    }

   private:
    struct Statistics {
        float mean;
        float rstd;
    };
    [[nodiscard]] Statistics statistics(const float* x) const {
        const Index count = per_group_ * pixels_;
        const double n = static_cast<double>(std::max<Index>(count, 1));
        const auto mean = static_cast<float>(sum_of(count, [x](Index i) { return x[i]; }) / n);
        const double square = sum_of(count, [x, mean](Index i) {
            const float d = x[i] - mean;
            return d * d;
        });
        return {mean, static_cast<float>(1.0 / std::sqrt(square / n + epsilon_))};
    }
    /// Sum of f(0) … f(count − 1): blocks in 16 interleaved lanes, which vectorize, and the blocks in double, because a
    /// group has up to millions of elements.
    template <class F>
    static double sum_of(Index count, F&& f) {
        double total = 0.0;
        for (Index begin = 0; begin < count; begin += 1024) {
            const Index end = std::min<Index>(begin + 1024, count);
            float lanes[16] = {};
            Index i = begin;
            for (; i + 16 <= end; i += 16) {
                for (int lane = 0; lane < 16; ++lane) {
                    lanes[lane] += f(i + lane);
                }
            }
            for (; i < end; ++i) {
                lanes[0] += f(i);
            }
            for (const float lane : lanes) {
                total += static_cast<double>(lane);
            }
        }
        return total;
    }

    Index batch_;
    Index channels_;
    Index groups_;
    Index per_group_;
    Index pixels_ = 1;
    double epsilon_;
};

}  // namespace flowfar::cpu
