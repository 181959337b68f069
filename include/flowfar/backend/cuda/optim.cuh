#pragma once

/// In-place updates of contiguous parameters.

#include <cmath>
#include <span>

#include "flowfar/backend/cuda/map.cuh"
#include "flowfar/core/vocabulary.hpp"

namespace flowfar::cuda {

/// target + weight (source − target)
template <class C>
struct LerpMap {
    C weight;

    __device__ __forceinline__ C operator()(C target, C source) const { return target + weight * (source - target); }
};

/// Adam's constants, as `AdamOptions` makes them for one step.
template <class C>
struct AdamStep {
    C rate;     ///< learning rate over the first moment's bias correction
    C root;     ///< 1 / sqrt of the second moment's bias correction
    C keep;     ///< what decoupled weight decay leaves of the parameter
    C coupled;  ///< weight decay that goes through the gradient
    C scale;
    C first;  ///< 1 − β1
    C second;
    C epsilon;

    [[nodiscard]] static AdamStep of(const AdamOptions& o) {
        const auto step = static_cast<double>(o.step);
        return {static_cast<C>(o.learning_rate / (1.0 - std::pow(o.beta1, step))),
                static_cast<C>(1.0 / std::sqrt(1.0 - std::pow(o.beta2, step))),
                static_cast<C>(o.decoupled ? 1.0 - o.learning_rate * o.weight_decay : 1.0),
                static_cast<C>(o.decoupled ? 0.0 : o.weight_decay),
                static_cast<C>(o.gradient_scale),
                static_cast<C>(1.0 - o.beta1),
                static_cast<C>(1.0 - o.beta2),
                static_cast<C>(o.epsilon)};
    }

    __device__ __forceinline__ void operator()(C& p, C g, C& m, C& v) const {
        const C gradient = g * scale + coupled * p;
        m = m + first * (gradient - m);
        v = v + second * (gradient * gradient - v);
        p = p * keep - rate * m / (std::sqrt(v) * root + epsilon);
    }
};

/// One step for `count` elements; G is the gradient's element type.
template <class C, class G>
__global__ void __launch_bounds__(map_threads)
    adam_kernel(AdamStep<C> update, C* p, const G* g, C* m, C* v, Index count, bool packed) {
    constexpr int width = pack_size<C>;
    const Index step = static_cast<Index>(gridDim.x) * blockDim.x;
    const Index thread = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
    const Index whole = packed ? count / width : 0;
    for (Index i = thread; i < whole; i += step) {
        Pack<C, width> parameter = load_pack<width>(p + i * width);
        Pack<C, width> mean = load_pack<width>(m + i * width);
        Pack<C, width> square = load_pack<width>(v + i * width);
        const Pack<G, width> gradient = load_pack<width>(g + i * width);
        for (int k = 0; k < width; ++k) {
            update(parameter.values[k], convert<C>(gradient.values[k]), mean.values[k], square.values[k]);
        }
        store_pack(p + i * width, parameter);
        store_pack(m + i * width, mean);
        store_pack(v + i * width, square);
    }
    for (Index i = whole * width + thread; i < count; i += step) {
        update(p[i], convert<C>(g[i]), m[i], v[i]);
    }
}

inline constexpr int adam_tensors = 40;    ///< of one launch: their table is the kernel's argument
inline constexpr Index adam_chunk = 4096;  ///< elements that one block updates

/// One step of several tensors, all aligned to 16 bytes. Block b works on the tensor i with first[i] <= b < first[i +
/// 1].
template <class G>
struct AdamTable {
    AdamStep<float> update[adam_tensors];
    float* p[adam_tensors];
    float* m[adam_tensors];
    float* v[adam_tensors];
    const G* g[adam_tensors];
    std::uint32_t count[adam_tensors];
    std::uint32_t first[adam_tensors + 1];
    int tensors = 0;
};

template <class G>
__global__ void __launch_bounds__(map_threads) adam_table_kernel(AdamTable<G> table) {
    constexpr int width = pack_size<float>;
    int tensor = 0;
    while (table.first[tensor + 1] <= blockIdx.x) {
        ++tensor;
    }
    const AdamStep<float> update = table.update[tensor];
    const std::uint32_t begin = (blockIdx.x - table.first[tensor]) * static_cast<std::uint32_t>(adam_chunk);
    const std::uint32_t count = table.count[tensor];
    const std::uint32_t end = begin + adam_chunk < count ? begin + static_cast<std::uint32_t>(adam_chunk) : count;
    float* const p = table.p[tensor];
    float* const m = table.m[tensor];
    float* const v = table.v[tensor];
    const G* const g = table.g[tensor];
    for (std::uint32_t i = begin + threadIdx.x * width; i < end; i += map_threads * width) {
        if (i + width <= end) {
            Pack<float, width> parameter = load_pack<width>(p + i);
            Pack<float, width> mean = load_pack<width>(m + i);
            Pack<float, width> square = load_pack<width>(v + i);
            const Pack<G, width> gradient = load_pack<width>(g + i);
            for (int k = 0; k < width; ++k) {
                update(parameter.values[k], convert<float>(gradient.values[k]), mean.values[k], square.values[k]);
            }
            store_pack(p + i, parameter);
            store_pack(m + i, mean);
            store_pack(v + i, square);
        } else {
            for (std::uint32_t k = i; k < end; ++k) {
                update(p[k], convert<float>(g[k]), m[k], v[k]);
            }
        }
    }
}

struct Optimiser {
    /// target and source have the same extents and type, f32 or f64; the target is contiguous.
    template <class C>
    static void lerp(const Handle& target, const Handle& source, double weight) {
        map(LerpMap<C>{static_cast<C>(weight)}, View<C>::of(target), View<const C>::of(target),
            View<const C>::of(source));
    }
    /// All are contiguous; p, m and v have elements of type C, g of type G.
    template <class C, class G>
    static void adam(const Handle& p, const Handle& g, const Handle& m, const Handle& v, const AdamOptions& options) {
        const Index count = p.count();
        const bool packed = is_aligned(p.data<C>(), 16) && is_aligned(m.data<C>(), 16) && is_aligned(v.data<C>(), 16) &&
                            is_aligned(g.data<G>(), pack_size<C> * sizeof(G));
        launch(adam_kernel<C, G>, dim3(map_blocks(packed ? count / pack_size<C> + 1 : count)), dim3(map_threads), 0,
               AdamStep<C>::of(options), p.data<C>(), static_cast<const G*>(g.data<G>()), m.data<C>(), v.data<C>(),
               count, packed);
    }

    /// The targets whose gradients have elements of type G; all are contiguous, parameters and moments f32.
    template <class G>
    static void adam_steps(std::span<const AdamTarget<Handle>> targets) {
        AdamTable<G> table;
        const auto flush = [&] {
            if (table.tensors > 0 && table.first[table.tensors] > 0) {
                launch(adam_table_kernel<G>, dim3(table.first[table.tensors]), dim3(map_threads), 0, table);
            }
            table.tensors = 0;
        };
        for (const AdamTarget<Handle>& t : targets) {
            if (t.gradient.dtype != dtype_of<G> || t.parameter.dtype != DType::f32) {
                continue;
            }
            const Index count = t.parameter.count();
            if (!is_packed<G>(t) || count > count_limit) {
                adam<float, G>(t.parameter, t.gradient, t.first, t.second, t.options);
                continue;
            }
            const int i = table.tensors;
            table.first[0] = 0;
            table.update[i] = AdamStep<float>::of(t.options);
            table.p[i] = t.parameter.data<float>();
            table.m[i] = t.first.data<float>();
            table.v[i] = t.second.data<float>();
            table.g[i] = t.gradient.data<G>();
            table.count[i] = static_cast<std::uint32_t>(count);
            table.first[i + 1] = table.first[i] + blocks_for(count, adam_chunk);
            if (++table.tensors == adam_tensors) {
                flush();
            }
        }
        flush();
    }

   private:
    template <class G>
    [[nodiscard]] static bool is_packed(const AdamTarget<Handle>& t) {
        return is_aligned(t.parameter.data<float>(), 16) && is_aligned(t.first.data<float>(), 16) &&
               is_aligned(t.second.data<float>(), 16) && is_aligned(t.gradient.data<G>(), pack_size<float> * sizeof(G));
    }
};

}  // namespace flowfar::cuda
