#pragma once

/// Group norm of [batch, channels, …] and its gradients. A group of channels is one run of memory; long runs are
/// described in pieces by mean and squared deviation, which are then joined (Chan, Golub & LeVeque 1979). f32 and bf16;
/// f64 is served by the default definitions.

#include "flowfar/backend/cuda/kernels/elementwise/functor_map.cuh"
#include "flowfar/backend/cuda/kernels/elementwise/map.cuh"
#include "flowfar/backend/cuda/kernels/rows/norm.cuh"
#include "flowfar/core/shapes/conv_shape.hpp"

namespace flowfar::cuda {

inline constexpr int group_norm_threads = 256;
inline constexpr Index group_norm_piece = 8192;  ///< elements of a group that one block describes

/// Count, mean and sum of squared deviations of some numbers.
struct Moments {
    float count;
    float mean;
    float squares;
};

/// pieces [groups, pieces] of runs of `size` elements, read in packs of `width`, which divides their size.
template <class T, int width>
__global__ void __launch_bounds__(group_norm_threads)
    group_moments_kernel(Moments* out, const T* x, Index size, FastDivide pieces) {
    const std::uint32_t group = pieces.quotient(blockIdx.x);
    const Index begin = static_cast<Index>(blockIdx.x - group * pieces.divisor) * group_norm_piece;
    const Index end = begin + group_norm_piece < size ? begin + group_norm_piece : size;
    const T* const from = x + group * size;
    const auto each = [&](auto&& f) {
        for (Index i = begin + threadIdx.x * width; i < end; i += group_norm_threads * width) {
            const Pack<T, width> pack = load_pack<width>(from + i);
#pragma unroll
            for (int k = 0; k < width; ++k) {
                f(convert<float>(pack.values[k]));
            }
        }
    };
    float mean = 0;
    each([&](float value) { mean += value; });
    mean = group_sum<group_norm_threads>(mean) / static_cast<float>(end - begin);
    float squares = 0;
    each([&](float value) { squares += (value - mean) * (value - mean); });
    squares = group_sum<group_norm_threads>(squares);
    if (threadIdx.x == 0) {
        out[blockIdx.x] = {static_cast<float>(end - begin), mean, squares};
    }
}

/// One warp per group: mean = Σ n_i m_i / n, squares = Σ (s_i + n_i (m_i − mean)²).
static __global__ void group_statistics_kernel(RowStatistics<float>* out, const Moments* moments, Index pieces,
                                               float size, float epsilon) {
    const Moments* const mine = moments + blockIdx.x * pieces;
    float mean = 0;
    for (Index i = threadIdx.x; i < pieces; i += 32) {
        mean += mine[i].count * mine[i].mean;
    }
    mean = group_sum<32>(mean) / size;
    float squares = 0;
    for (Index i = threadIdx.x; i < pieces; i += 32) {
        const float d = mine[i].mean - mean;
        squares += mine[i].squares + mine[i].count * d * d;
    }
    squares = group_sum<32>(squares);
    if (threadIdx.x == 0) {
        out[blockIdx.x] = {mean, 1.0F / std::sqrt(squares / size + epsilon)};
    }
}

/// How elements are numbered: channel i / pixels, group channel / channels_per_group; both counted over the whole
/// batch.
struct GroupShape {
    FastDivide pixels;
    FastDivide channels_per_group;
    FastDivide channels;
};

/// y = (x − mean) rstd weight + bias, then SiLU with `silu`; `count` packs of `width` elements, `packs` of them in a
/// plane.
template <class T, int width, bool silu>
__global__ void __launch_bounds__(map_threads)
    group_norm_kernel(T* y, const T* x, const T* weight, const T* bias, const RowStatistics<float>* statistics,
                      GroupShape shape, FastDivide packs, std::uint32_t count) {
    const std::uint32_t step = gridDim.x * blockDim.x;
    for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const std::uint32_t plane = packs.quotient(i);
        const std::uint32_t channel = plane - shape.channels.quotient(plane) * shape.channels.divisor;
        const RowStatistics<float> s = statistics[shape.channels_per_group.quotient(plane)];
        const float factor = s.rstd * convert<float>(weight[channel]);
        const float offset = convert<float>(bias[channel]);
        Pack<T, width> pack = load_pack<width>(x + static_cast<Index>(i) * width);
#pragma unroll
        for (int k = 0; k < width; ++k) {
            const float n = (convert<float>(pack.values[k]) - s.mean) * factor + offset;
            pack.values[k] = convert<T>(silu ? UnaryFunctor<UnaryOp::silu>::forward(n, 0.0F, 0.0F) : n);
        }
        store_pack(y + static_cast<Index>(i) * width, pack);
    }
}

/// Per plane (one channel of one image): sums [planes, 2] of g ∘ n and g.
template <class T>
__global__ void __launch_bounds__(group_norm_threads)
    group_plane_sums_kernel(float* sums, const T* x, const T* g, const RowStatistics<float>* statistics,
                            GroupShape shape) {
    const std::uint32_t plane = blockIdx.x;
    const RowStatistics<float> s = statistics[shape.channels_per_group.quotient(plane)];
    const Index pixels = shape.pixels.divisor;
    const Index first = plane * pixels;
    float products = 0;
    float sum = 0;
    for (Index i = threadIdx.x; i < pixels; i += group_norm_threads) {
        const float slope = convert<float>(g[first + i]);
        products += slope * ((convert<float>(x[first + i]) - s.mean) * s.rstd);
        sum += slope;
    }
    products = group_sum<group_norm_threads>(products);
    sum = group_sum<group_norm_threads>(sum);
    if (threadIdx.x == 0) {
        sums[2 * plane] = products;
        sums[2 * plane + 1] = sum;
    }
}

/// Means over a group of h n and h, h = g weight: means [groups, 2]. One warp per group.
template <class T>
__global__ void group_means_kernel(float* means, const float* sums, const T* weight, GroupShape shape) {
    const std::uint32_t per_group = shape.channels_per_group.divisor;
    float products = 0;
    float sum = 0;
    for (std::uint32_t i = threadIdx.x; i < per_group; i += 32) {
        const std::uint32_t plane = blockIdx.x * per_group + i;
        const float w = convert<float>(weight[plane - shape.channels.quotient(plane) * shape.channels.divisor]);
        products += w * sums[2 * plane];
        sum += w * sums[2 * plane + 1];
    }
    const float count = static_cast<float>(per_group) * static_cast<float>(shape.pixels.divisor);
    products = group_sum<32>(products);
    sum = group_sum<32>(sum);
    if (threadIdx.x == 0) {
        means[2 * blockIdx.x] = products / count;
        means[2 * blockIdx.x + 1] = sum / count;
    }
}

/// dx = rstd (g weight − mean(h) − n mean(h n)).
template <class T>
__global__ void __launch_bounds__(map_threads)
    group_norm_backward_kernel(T* dx, const T* x, const T* weight, const T* g, const RowStatistics<float>* statistics,
                               const float* means, GroupShape shape, std::uint32_t count) {
    const std::uint32_t step = gridDim.x * blockDim.x;
    for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const std::uint32_t plane = shape.pixels.quotient(i);
        const std::uint32_t group = shape.channels_per_group.quotient(plane);
        const std::uint32_t channel = plane - shape.channels.quotient(plane) * shape.channels.divisor;
        const RowStatistics<float> s = statistics[group];
        const float n = (convert<float>(x[i]) - s.mean) * s.rstd;
        const float h = convert<float>(g[i]) * convert<float>(weight[channel]);
        dx[i] = convert<T>(s.rstd * (h - means[2 * group + 1] - n * means[2 * group]));
    }
}

/// The gradients of weight and bias: planes' sums added over the batch.
template <class T>
__global__ void __launch_bounds__(map_threads)
    group_weights_kernel(T* d_weight, T* d_bias, const float* sums, Index batch, Index channels) {
    const Index channel = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (channel < channels) {
        float weight = 0;
        float bias = 0;
        for (Index n = 0; n < batch; ++n) {
            weight += sums[2 * (n * channels + channel)];
            bias += sums[2 * (n * channels + channel) + 1];
        }
        d_weight[channel] = convert<T>(weight);
        d_bias[channel] = convert<T>(bias);
    }
}

/// All operands are contiguous.
template <class T>
class GroupNorm {
   public:
    GroupNorm(const Extents& x, Index groups, double epsilon)
        : batch_(x[0]),
          channels_(x[1]),
          groups_(x[0] * groups),
          count_(x.count()),
          size_(groups_ == 0 ? 0 : count_ / groups_),
          epsilon_(static_cast<float>(epsilon)) {
        require(count_ <= count_limit, "group_norm: ", count_, " elements");
        shape_ = {FastDivide::by(x.count() / std::max<Index>(x[0] * x[1], 1)), FastDivide::by(x[1] / groups),
                  FastDivide::by(x[1])};
    }

    /// With `silu`, y is SiLU of the norm.
    void forward(const Handle& y, const Handle& x, const Handle& weight, const Handle& bias, bool silu) const {
        if (count_ == 0) {
            return;
        }
        const std::shared_ptr<std::byte> statistics = statistics_of(x);
        const auto run = [&]<int width, bool activates>() {
            launch(group_norm_kernel<T, width, activates>, dim3(map_blocks(count_ / width)), dim3(map_threads), 0,
                   y.data<T>(), x.data<T>(), weight.data<T>(), bias.data<T>(),
                   reinterpret_cast<const RowStatistics<float>*>(statistics.get()), shape_,
                   FastDivide::by(shape_.pixels.divisor / width), static_cast<std::uint32_t>(count_ / width));
        };
        if (shape_.pixels.divisor % pack_size<T> == 0 && is_aligned(x.data<T>(), 16)) {
            silu ? run.template operator()<pack_size<T>, true>() : run.template operator()<pack_size<T>, false>();
        } else {
            silu ? run.template operator()<1, true>() : run.template operator()<1, false>();
        }
    }

    void backward(const NormGradients<Handle>& out, const Handle& x, const Handle& weight, const Handle& g) const {
        const auto planes = static_cast<std::size_t>(batch_ * channels_);
        const std::shared_ptr<std::byte> scratch =
            allocate((2 * planes + 2 * static_cast<std::size_t>(groups_)) * sizeof(float));
        float* const sums = reinterpret_cast<float*>(scratch.get());
        if (count_ > 0) {
            float* const means = sums + 2 * planes;
            const std::shared_ptr<std::byte> kept = statistics_of(x);
            const auto* const statistics = reinterpret_cast<const RowStatistics<float>*>(kept.get());
            launch(group_plane_sums_kernel<T>, dim3(blocks_for(batch_ * channels_, 1)), dim3(group_norm_threads), 0,
                   sums, x.data<T>(), g.data<T>(), statistics, shape_);
            launch(group_means_kernel<T>, dim3(blocks_for(groups_, 1)), dim3(32), 0, means, sums, weight.data<T>(),
                   shape_);
            launch(group_norm_backward_kernel<T>, dim3(map_blocks(count_)), dim3(map_threads), 0, out.input.data<T>(),
                   x.data<T>(), weight.data<T>(), g.data<T>(), statistics, means, shape_,
                   static_cast<std::uint32_t>(count_));
        }
        launch(group_weights_kernel<T>, dim3(blocks_for(channels_, map_threads)), dim3(map_threads), 0,
               out.scale.data<T>(), out.shift.data<T>(), sums, count_ == 0 ? Index{0} : batch_, channels_);
    }

   private:
    [[nodiscard]] std::shared_ptr<std::byte> statistics_of(const Handle& x) const {
        const Index pieces = (size_ + group_norm_piece - 1) / group_norm_piece;
        std::shared_ptr<std::byte> out = allocate(static_cast<std::size_t>(groups_) * sizeof(RowStatistics<float>));
        const std::shared_ptr<std::byte> moments =
            allocate(static_cast<std::size_t>(groups_ * pieces) * sizeof(Moments));
        auto* const found = reinterpret_cast<Moments*>(moments.get());
        const bool packed = size_ % pack_size<T> == 0 && is_aligned(x.data<T>(), 16);
        const auto kernel = packed ? group_moments_kernel<T, pack_size<T>> : group_moments_kernel<T, 1>;
        launch(kernel, dim3(blocks_for(groups_ * pieces, 1)), dim3(group_norm_threads), 0, found,
               static_cast<const T*>(x.data<T>()), size_, FastDivide::by(pieces));
        launch(group_statistics_kernel, dim3(blocks_for(groups_, 1)), dim3(32), 0,
               reinterpret_cast<RowStatistics<float>*>(out.get()), found, pieces, static_cast<float>(size_), epsilon_);
        return out;
    }

    Index batch_;
    Index channels_;
    Index groups_;  ///< of the whole batch
    Index count_;
    Index size_;  ///< elements of a group
    float epsilon_;
    GroupShape shape_;
};

}  // namespace flowfar::cuda
