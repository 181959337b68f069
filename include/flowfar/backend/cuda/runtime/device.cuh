#pragma once

/// What kernels use beside plain C++: dynamic shared memory, wide accesses, warp reductions, fast exponentials. On the
/// host these are the emulator's (tests/cuda/emulator).

#include <cmath>
#include <cstddef>
#include <cuda_runtime.h>

#include "flowfar/core/dtype.hpp"

namespace flowfar::cuda {

inline constexpr int warp_size = 32;
inline constexpr unsigned all_lanes = 0xFFFFFFFFU;

/// The block's dynamic shared memory, aligned to 128 bytes.
__device__ inline unsigned char* dynamic_shared() {
#if defined(__CUDA_ARCH__)
    extern __shared__ __align__(128) unsigned char flowfar_dynamic_shared[];
    return flowfar_dynamic_shared;
#elif defined(CUDA_EMULATION)
    return cuda_emulation::dynamic_shared();
#else
    return nullptr;
#endif
}

/// `count` elements that are loaded and stored in one access.
template <class T, int count>
struct alignas(sizeof(T) * count) Pack {
    T values[count];
};

/// Elements of T in 16 bytes.
template <class T>
inline constexpr int pack_size = static_cast<int>(16 / sizeof(T));

/// Whether `address` suits accesses of `bytes` bytes (a power of two).
[[nodiscard]] FLOWFAR_HD inline bool is_aligned(const void* address, std::size_t bytes) {
    return (reinterpret_cast<std::size_t>(address) & (bytes - 1)) == 0;
}

/// Reads `count` elements at once; the address must be a multiple of their size.
template <int count, class T>
[[nodiscard]] __device__ Pack<T, count> load_pack(const T* address) {
#if defined(CUDA_EMULATION)
    cuda_emulation::check_aligned(address, sizeof(Pack<T, count>));
#endif
    return *reinterpret_cast<const Pack<T, count>*>(address);
}
template <int count, class T>
__device__ void store_pack(T* address, const Pack<T, count>& pack) {
#if defined(CUDA_EMULATION)
    cuda_emulation::check_aligned(address, sizeof(Pack<T, count>));
#endif
    *reinterpret_cast<Pack<T, count>*>(address) = pack;
}

/// The sum over the warp's lanes, in every lane and in a fixed order.
[[nodiscard]] __device__ inline float warp_sum(float value) {
    for (int bits = warp_size / 2; bits > 0; bits /= 2) {
        value += __shfl_xor_sync(all_lanes, value, bits);
    }
    return value;
}
[[nodiscard]] __device__ inline float warp_max(float value) {
    for (int bits = warp_size / 2; bits > 0; bits /= 2) {
        value = fmaxf(value, __shfl_xor_sync(all_lanes, value, bits));
    }
    return value;
}

/// 2^x to about 2 units in the last place; results below the normal numbers are zero; 2^-infinity is 0.
[[nodiscard]] __device__ inline float fast_exp2(float x) {
#if defined(__CUDA_ARCH__)
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#else
    return std::exp2(x);
#endif
}

}  // namespace flowfar::cuda
