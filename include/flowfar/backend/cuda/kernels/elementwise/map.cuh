#pragma once

/// The loop of all elementwise kernels: out[i] = f(in[i]…) for views of any strides.

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "flowfar/backend/cuda/kernels/elementwise/strided.cuh"
#include "flowfar/backend/cuda/runtime/device.cuh"
#include "flowfar/backend/cuda/runtime/launch.cuh"

namespace flowfar::cuda {

inline constexpr int map_threads = 256;

/// How `map_kernel` walks its views: one unit is one element, or as many as 16 bytes of the smallest element type hold.
template <int N>
struct MapPlan {
    Strided<N> units;
    std::uint32_t count = 0;     ///< units
    std::uint32_t elements = 0;  ///< of the innermost axis if it is the only one, else more than any unit reaches
    bool packed = false;
    bool repeats[N] = {};  ///< packed: this view has one element for the whole unit
};

/// Plans views that have been brought to the same extents; `widths` elements form a unit where the views permit it.
template <int N>
[[nodiscard]] MapPlan<N> plan_map(const std::array<Layout*, N>& layouts, const std::array<const void*, N>& data,
                                  const std::array<std::size_t, N>& sizes, int width) {
    sort_axes<N>(layouts);
    merge_axes<N>(layouts);
    MapPlan<N> plan;
    const Layout& first = *layouts[0];
    const int inner = first.rank() - 1;
    plan.packed = first.stride(inner) == 1 && (inner == 0 || first.extents[inner] % width == 0);
    for (std::size_t n = 0; n < N && plan.packed; ++n) {
        plan.repeats[n] = layouts[n]->stride(inner) == 0;
        if (!plan.repeats[n]) {
            const std::size_t pack = std::min<std::size_t>(static_cast<std::size_t>(width) * sizes[n], 16);
            plan.packed = layouts[n]->stride(inner) == 1 && reinterpret_cast<std::uintptr_t>(data[n]) % pack == 0;
            for (int axis = 0; axis < inner; ++axis) {
                plan.packed = plan.packed && layouts[n]->stride(axis) % width == 0;
            }
        }
    }
    const Index count = first.count();
    plan.elements = static_cast<std::uint32_t>(plan.packed && inner == 0 ? count : count_limit);
    if (plan.packed) {
        const Index length = (first.extents[inner] + width - 1) / width;
        for (Layout* layout : layouts) {
            layout->extents[inner] = length;
            layout->set_stride(inner, layout->stride(inner) * width);
        }
    }
    std::array<const Layout*, N> axes;
    std::copy(layouts.begin(), layouts.end(), axes.begin());
    plan.units = Strided<N>::of(axes);
    plan.count = static_cast<std::uint32_t>(first.count());
    return plan;
}

/// The elements of one operand in one unit.
template <class T, int Width>
struct Unit {
    T value[Width];
};

template <int Width, class T>
__device__ __forceinline__ Unit<T, Width> load_unit(const T* from, bool repeats) {
    Unit<T, Width> unit;
    if (repeats) {
        const T value = *from;
#pragma unroll
        for (int i = 0; i < Width; ++i) {
            unit.value[i] = value;
        }
        return unit;
    }
    constexpr int part = pack_size<T> < Width ? pack_size<T> : Width;
#pragma unroll
    for (int i = 0; i < Width; i += part) {
        const Pack<T, part> pack = load_pack<part>(from + i);
#pragma unroll
        for (int k = 0; k < part; ++k) {
            unit.value[i + k] = pack.values[k];
        }
    }
    return unit;
}

template <int Width, class F, class Out, class... In>
__device__ __forceinline__ void map_unit(const F& f, Out* out, const Unit<In, Width>&... in) {
    constexpr int part = pack_size<Out> < Width ? pack_size<Out> : Width;
#pragma unroll
    for (int i = 0; i < Width; i += part) {
        Pack<Out, part> pack;
#pragma unroll
        for (int k = 0; k < part; ++k) {
            pack.values[k] = f(in.value[i + k]...);
        }
        store_pack<part>(out + i, pack);
    }
}

template <int Width, class F, class Out, class... In, std::size_t... I>
__device__ __forceinline__ void map_range(const F& f, const MapPlan<sizeof...(In) + 1>& plan,
                                          std::index_sequence<I...> /*operands*/, Out* out, const In*... in) {
    const std::uint32_t step = gridDim.x * blockDim.x;
    for (std::uint32_t unit = blockIdx.x * blockDim.x + threadIdx.x; unit < plan.count; unit += step) {
        const auto at = plan.units.at(unit);
        Out* const to = out + at.of[0];
        if (Width == 1 || !plan.packed) {
            *to = f(in[at.of[I + 1]]...);
        } else if (unit * Width + Width <= plan.elements) {
            map_unit<Width>(f, to, load_unit<Width>(in + at.of[I + 1], plan.repeats[I + 1])...);
        } else {
            for (std::uint32_t i = 0; unit * Width + i < plan.elements; ++i) {
                to[i] = f((in + at.of[I + 1])[plan.repeats[I + 1] ? 0 : i]...);
            }
        }
    }
}

template <int Width, class F, class Out, class... In>
__global__ void __launch_bounds__(map_threads)
    map_kernel(F f, MapPlan<sizeof...(In) + 1> plan, Out* out, const In*... in) {
    map_range<Width>(f, plan, std::index_sequence_for<In...>{}, out, in...);
}

/// Elements of a unit: 16 bytes of the narrowest type but bytes. f64 goes one by one: its functions need the registers.
template <class... T>
[[nodiscard]] constexpr int map_width() {
    return (std::is_same_v<std::remove_const_t<T>, double> || ...)
               ? 1
               : 16 / static_cast<int>(std::max<std::size_t>(2, std::min({sizeof(T)...})));
}

/// Blocks for `count` threads: enough to fill any device, few enough that each thread has several units to work on.
[[nodiscard]] inline unsigned map_blocks(Index count, int threads = map_threads) {
    return static_cast<unsigned>(std::min<Index>((count + threads - 1) / threads, 1 << 14));
}

/// out[i] = f(in[i]…) for views of the same extents; f takes and gives elements.
template <class F, class Out, class... In>
void map(const F& f, View<Out> out, View<In>... in) {
    const Index count = out.layout.count();
    if (count == 0) {
        return;
    }
    if (count > count_limit / 2) {
        const auto longest = std::max_element(out.layout.extents.begin(), out.layout.extents.end());
        const int axis = static_cast<int>(longest - out.layout.extents.begin());
        const Index half = *longest / 2;
        map(f, out.part(axis, 0, half), in.part(axis, 0, half)...);
        map(f, out.part(axis, half, *longest), in.part(axis, half, *longest)...);
        return;
    }
    constexpr int views = static_cast<int>(sizeof...(In)) + 1;
    constexpr int width = map_width<Out, In...>();
    const MapPlan<views> plan =
        plan_map<views>({&out.layout, &in.layout...}, {out.data, in.data...}, {sizeof(Out), sizeof(In)...}, width);
    launch(map_kernel<width, F, Out, std::remove_const_t<In>...>, dim3(map_blocks(plan.count)), dim3(map_threads), 0, f,
           plan, out.data, in.data...);
}

}  // namespace flowfar::cuda
