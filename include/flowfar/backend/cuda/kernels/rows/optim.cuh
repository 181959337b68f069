#pragma once

/// In-place updates of contiguous parameters, one by one or many in one kernel.

#include <cmath>
#include <span>

#include "flowfar/backend/cuda/kernels/elementwise/map.cuh"
#include "flowfar/backend/cuda/runtime/block.cuh"
#include "flowfar/backend/cuda/runtime/tensor_table.cuh"
#include "flowfar/core/op_options.hpp"

namespace flowfar::cuda {

/// target + weight (source − target)
template <class C>
struct LerpMap {
    C weight;

    __device__ __forceinline__ C operator()(C target, C source) const {
        return flowfar::detail::fused_product(weight, source - target, target);
    }
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
        // Every rounding is spelled out: several kernels take this step, with the same bits.
        using flowfar::detail::fused_product;
        using std::sqrt;
        const C gradient = fused_product(g, scale, flowfar::detail::rounded_product(coupled, p));
        m = fused_product(first, gradient - m, m);
        v = fused_product(second, fused_product(gradient, gradient, -v), v);
        p = fused_product(p, keep, -(rate * m / fused_product(sqrt(v), root, epsilon)));
    }
};

/// A limit of gradients on the device; without a norm there is none.
struct AdamLimit {
    const double* norm = nullptr;
    double maximum = 0.0;

    [[nodiscard]] static AdamLimit of(const GradientLimit<Handle>& limit) {
        return {limit.norm.defined() ? static_cast<const double*>(limit.norm.data<double>()) : nullptr, limit.maximum};
    }
    /// The factor of the gradients; NaN says that nothing may be changed.
    __device__ __forceinline__ double factor() const {
        if (norm == nullptr) {
            return 1.0;
        }
        const double length = *norm;
        if (!(length - length == 0.0)) {
            return length - length;
        }
        return maximum > 0.0 ? clip_factor(length, maximum) : 1.0;
    }
};

/// Elements of a pack; f64 goes one by one, because its functions need the registers.
template <class C>
inline constexpr int adam_width = std::is_same_v<C, double> ? 1 : pack_size<C>;

/// Updates the elements begin, begin + stride, … of [0, count), in packs of 16 bytes where `packed`; G is the
/// gradient's element type.
template <class C, class G>
__device__ __forceinline__ void adam_elements(const AdamStep<C>& update, C* p, const G* g, C* m, C* v, Index begin,
                                              Index stride, Index count, bool packed) {
    constexpr int width = adam_width<C>;
    const Index whole = packed ? count / width : 0;
    for (Index i = begin; i < whole; i += stride) {
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
    for (Index i = whole * width + begin; i < count; i += stride) {
        update(p[i], convert<C>(g[i]), m[i], v[i]);
    }
}

template <class C, class G>
__global__ void __launch_bounds__(map_threads)
    adam_kernel(AdamStep<C> update, AdamLimit limit, C* p, const G* g, C* m, C* v, Index count, bool packed) {
    const double factor = limit.factor();
    if (factor == factor) {
        update.scale *= static_cast<C>(factor);
        adam_elements(update, p, g, m, v, static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x,
                      static_cast<Index>(gridDim.x) * blockDim.x, count, packed);
    }
}

/// One tensor of a table that Adam updates; all are aligned to packs.
template <class G>
struct AdamEntry {
    AdamStep<float> update;
    float* p;
    float* m;
    float* v;
    const G* g;
};

template <class G>
__global__ void __launch_bounds__(map_threads) adam_table_kernel(TensorTable<AdamEntry<G>> table, AdamLimit limit) {
    const double factor = limit.factor();
    if (factor == factor) {
        const TablePart part = table_part(table, blockIdx.x);
        const AdamEntry<G>& entry = table.entry[part.tensor];
        AdamStep<float> update = entry.update;
        update.scale *= static_cast<float>(factor);
        adam_elements(update, entry.p + part.begin, entry.g + part.begin, entry.m + part.begin, entry.v + part.begin,
                      threadIdx.x, map_threads, part.end - part.begin, true);
    }
}

struct LerpEntry {
    float* target;
    const float* source;
};

template <class Entry>
__global__ void __launch_bounds__(map_threads) lerp_table_kernel(TensorTable<Entry> table, float weight) {
    const LerpMap<float> step{weight};
    const TablePart part = table_part(table, blockIdx.x);
    const Entry entry = table.entry[part.tensor];
    for (std::uint32_t i = part.begin + threadIdx.x; i < part.end; i += map_threads) {
        entry.target[i] = step(entry.target[i], entry.source[i]);
    }
}

struct FactorEntry {
    float* target;
    std::uint32_t place;  ///< of the factor
};

template <class Entry>
__global__ void __launch_bounds__(map_threads) multiply_table_kernel(TensorTable<Entry> table, const double* factors) {
    const TablePart part = table_part(table, blockIdx.x);
    const Entry entry = table.entry[part.tensor];
    const auto factor = static_cast<float>(factors[entry.place]);
    for (std::uint32_t i = part.begin + threadIdx.x; i < part.end; i += map_threads) {
        entry.target[i] *= factor;
    }
}

template <class T>
struct SquaresEntry {
    const T* data;
    std::uint32_t place;  ///< of the sum
};

/// A block's sum of squares, in double: f32 squares of large tensors would lose what small elements add.
template <class T>
__global__ void __launch_bounds__(map_threads)
    squares_table_kernel(TensorTable<SquaresEntry<T>> table, double* partial) {
    const TablePart part = table_part(table, blockIdx.x);
    const T* const data = table.entry[part.tensor].data;
    double sum = 0.0;
    for (std::uint32_t i = part.begin + threadIdx.x; i < part.end; i += map_threads) {
        const auto x = convert<double>(data[i]);
        sum += x * x;
    }
    sum = group_sum<map_threads>(sum);
    if (threadIdx.x == 0) {
        partial[blockIdx.x] = sum;
    }
}

/// Adds up the blocks' sums; block b works on tensor b of the table.
template <class T>
__global__ void __launch_bounds__(map_threads)
    squares_total_kernel(TensorTable<SquaresEntry<T>> table, const double* partial, double* out) {
    double sum = 0.0;
    for (std::uint32_t i = table.first[blockIdx.x] + threadIdx.x; i < table.first[blockIdx.x + 1]; i += map_threads) {
        sum += partial[i];
    }
    sum = group_sum<map_threads>(sum);
    if (threadIdx.x == 0) {
        out[table.entry[blockIdx.x].place] = sum;
    }
}

namespace updates {

template <class G>
[[nodiscard]] bool is_packed(const AdamTarget<Handle>& t) {
    return is_aligned(t.parameter.data<float>(), 16) && is_aligned(t.first.data<float>(), 16) &&
           is_aligned(t.second.data<float>(), 16) && is_aligned(t.gradient.data<G>(), pack_size<float> * sizeof(G));
}

/// target and source have the same extents and type, f32 or f64; the target is contiguous.
template <class C>
void lerp(const Handle& target, const Handle& source, double weight) {
    map(LerpMap<C>{static_cast<C>(weight)}, View<C>::of(target), View<const C>::of(target), View<const C>::of(source));
}
/// All are contiguous; p, m and v have elements of type C, g of type G.
template <class C, class G>
void adam(const AdamTarget<Handle>& t, const AdamLimit& limit) {
    C* const p = t.parameter.data<C>();
    C* const m = t.first.data<C>();
    C* const v = t.second.data<C>();
    const G* const g = t.gradient.data<G>();
    const Index count = t.parameter.count();
    const bool packed =
        is_aligned(p, 16) && is_aligned(m, 16) && is_aligned(v, 16) && is_aligned(g, pack_size<C> * sizeof(G));
    launch(adam_kernel<C, G>, dim3(map_blocks(packed ? count / pack_size<C> + 1 : count)), dim3(map_threads), 0,
           AdamStep<C>::of(t.options), limit, p, g, m, v, count, packed);
}

/// The targets whose gradients have elements of type G; all are contiguous, parameters and moments f32.
template <class G>
void adam_steps(std::span<const AdamTarget<Handle>> targets, const AdamLimit& limit) {
    auto table = table_filler<AdamEntry<G>>([&limit](const TensorTable<AdamEntry<G>>& full, unsigned blocks) {
        launch(adam_table_kernel<G>, dim3(blocks), dim3(map_threads), 0, full, limit);
    });
    for (const AdamTarget<Handle>& t : targets) {
        if (t.gradient.dtype != dtype_of<G> || t.parameter.dtype != DType::f32) {
            continue;
        }
        if (!is_packed<G>(t) || t.parameter.count() > count_limit) {
            adam<float, G>(t, limit);
            continue;
        }
        table.add({AdamStep<float>::of(t.options), t.parameter.data<float>(), t.first.data<float>(),
                   t.second.data<float>(), t.gradient.data<G>()},
                  t.parameter.count());
    }
    table.flush();
}

/// Targets and sources are contiguous and f32.
inline void lerp_each(std::span<const Handle> targets, std::span<const Handle> sources, double weight) {
    auto table = table_filler<LerpEntry>([weight](const TensorTable<LerpEntry>& full, unsigned blocks) {
        launch(lerp_table_kernel<LerpEntry>, dim3(blocks), dim3(map_threads), 0, full, static_cast<float>(weight));
    });
    for (std::size_t i = 0; i < targets.size(); ++i) {
        table.add({targets[i].data<float>(), sources[i].data<float>()}, targets[i].count());
    }
    table.flush();
}

/// The targets are contiguous and f32, factors f64.
inline void multiply_each(std::span<const Handle> targets, const Handle& factors) {
    const double* const numbers = factors.data<double>();
    auto table = table_filler<FactorEntry>([numbers](const TensorTable<FactorEntry>& full, unsigned blocks) {
        launch(multiply_table_kernel<FactorEntry>, dim3(blocks), dim3(map_threads), 0, full, numbers);
    });
    for (std::size_t i = 0; i < targets.size(); ++i) {
        table.add({targets[i].data<float>(), static_cast<std::uint32_t>(i)}, targets[i].count());
    }
    table.flush();
}

/// Sums of the tensors with elements of type T, which are contiguous, to their places in `out`.
template <class T>
void square_sums(double* out, std::span<const Handle> tensors) {
    auto table = table_filler<SquaresEntry<T>>([out](const TensorTable<SquaresEntry<T>>& full, unsigned blocks) {
        const std::shared_ptr<std::byte> scratch = allocate(std::max(1U, blocks) * sizeof(double));
        double* const partial = reinterpret_cast<double*>(scratch.get());
        launch(squares_table_kernel<T>, dim3(blocks), dim3(map_threads), 0, full, partial);
        launch(squares_total_kernel<T>, dim3(static_cast<unsigned>(full.tensors)), dim3(map_threads), 0, full,
               static_cast<const double*>(partial), out);
    });
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        if (tensors[i].dtype == dtype_of<T>) {
            table.add({tensors[i].data<T>(), static_cast<std::uint32_t>(i)}, tensors[i].count());
        }
    }
    table.flush();
}

}  // namespace updates

}  // namespace flowfar::cuda
