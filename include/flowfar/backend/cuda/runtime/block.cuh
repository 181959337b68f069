#pragma once

/// Sums and maxima over the threads of a warp or a block. The order of the additions depends on the number of threads
/// only, and every thread gets the same bits.

#include "flowfar/backend/cuda/runtime/compute.cuh"
#include "flowfar/backend/cuda/runtime/device.cuh"

namespace flowfar::cuda {

struct Add {
    template <class T>
    __device__ __forceinline__ T operator()(T a, T b) const {
        return a + b;
    }
};

/// The larger; NaN never wins.
struct Largest {
    template <class T>
    __device__ __forceinline__ T operator()(T a, T b) const {
        return a < b ? b : a;
    }
};

/// Over groups of `Lanes` neighboring lanes, a power of two. All lanes of the warp must take part.
template <int Lanes, class T, class Join>
__device__ __forceinline__ T lane_reduce(T value, Join join) {
#pragma unroll
    for (int distance = Lanes / 2; distance > 0; distance /= 2) {
        value = join(value, __shfl_xor_sync(all_lanes, value, distance));
    }
    return value;
}

/// Over all `Threads` threads of a block (a multiple of 32), or over each group of `Threads` neighboring threads if
/// these are at most 32. All of the block's threads must take part.
template <int Threads, class T, class Join>
__device__ __forceinline__ T group_reduce(T value, Join join) {
    value = lane_reduce<(Threads < 32 ? Threads : 32)>(value, join);
    if constexpr (Threads > 32) {
        __shared__ T partial[Threads / 32];
        if (threadIdx.x % 32 == 0) {
            partial[threadIdx.x / 32] = value;
        }
        __syncthreads();
        value = partial[0];
#pragma unroll
        for (int warp = 1; warp < Threads / 32; ++warp) {
            value = join(value, partial[warp]);
        }
        __syncthreads();  // before the next reduction writes
    }
    return value;
}

template <int Threads, class T>
__device__ __forceinline__ T group_sum(T value) {
    return group_reduce<Threads>(value, Add{});
}

template <int Threads, class T>
__device__ __forceinline__ T group_max(T value) {
    return group_reduce<Threads>(value, Largest{});
}

}  // namespace flowfar::cuda
