#pragma once

/// Rotary embedding: neighboring pairs of the last axis turn by an angle that depends on the token.

#include "flowfar/backend/cuda/kernels/elementwise/map.cuh"
#include "flowfar/core/op_options.hpp"

namespace flowfar::cuda {

/// One pair per thread: y contiguous [rows, 2 · pairs]; x's rows are dense and lie at `lines`; cos and sin [tokens,
/// pairs].
template <class T>
__global__ void __launch_bounds__(map_threads)
    rope_kernel(T* y, Strided<1> lines, const T* x, const T* cos, const T* sin, std::uint32_t count, FastDivide pairs,
                FastDivide tokens, Compute<T> sign, bool packed) {
    using C = Compute<T>;
    const std::uint32_t step = gridDim.x * blockDim.x;
    for (std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += step) {
        const std::uint32_t row = pairs.quotient(i);
        const std::uint32_t pair = i - row * pairs.divisor;
        const std::uint32_t token = row - tokens.quotient(row) * tokens.divisor;
        const T* const in = x + lines.at(row).of[0] + 2 * pair;
        const Index at = static_cast<Index>(token) * pairs.divisor + pair;
        const C c = convert<C>(cos[at]);
        const C s = sign * convert<C>(sin[at]);
        Pack<T, 2> both;
        if (packed) {
            both = load_pack<2>(in);
        } else {
            both.values[0] = in[0];
            both.values[1] = in[1];
        }
        const C a = convert<C>(both.values[0]);
        const C b = convert<C>(both.values[1]);
        both.values[0] = convert<T>(a * c - b * s);
        both.values[1] = convert<T>(a * s + b * c);
        store_pack<2>(y + 2 * static_cast<Index>(i), both);
    }
}

/// y is contiguous, x has dense rows, cos and sin are contiguous.
inline void rotate_pairs(const Handle& y, const Handle& x, const Handle& cos, const Handle& sin, Rotation rotation) {
    const Index count = x.count() / 2;
    require(count <= count_limit, "rope: ", x.count(), " elements");
    if (count == 0) {
        return;
    }
    bool packed = x.layout.offset % 2 == 0;
    for (int axis = 0; axis < x.rank() - 1; ++axis) {
        packed = packed && x.layout.stride(axis) % 2 == 0;
    }
    visit_float(x.dtype, "rope", [&]<class T>() {
        launch(rope_kernel<T>, dim3(map_blocks(count)), dim3(map_threads), 0, y.data<T>(),
               Strided<1>::of({&x.layout}, 1), x.data<T>(), cos.data<T>(), sin.data<T>(),
               static_cast<std::uint32_t>(count), FastDivide::by(x.extents().back() / 2),
               FastDivide::by(x.extents()[x.rank() - 2]),
               rotation == Rotation::inverse ? Compute<T>(-1) : Compute<T>(1), packed);
    });
}

}  // namespace flowfar::cuda
