#pragma once

/// The language extensions and vector types of CUDA C++ for a host compiler.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define CUDA_EMULATION 1
#define CUDART_VERSION 13000
#define __global__ __attribute__((unused))
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
// Blocks run one after another, so one copy per program serves as every block's.
#define __shared__ static
#define __align__(bytes) __attribute__((aligned(bytes)))

#define CUDA_EMULATION_VECTOR(type, name, bytes2, bytes4)              \
    struct name##2 {                                                   \
        alignas(bytes2) type x;                                        \
        type y;                                                        \
    };                                                                 \
    struct name##3 {                                                   \
        type x;                                                        \
        type y;                                                        \
        type z;                                                        \
    };                                                                 \
    struct name##4 {                                                   \
        alignas(bytes4) type x;                                        \
        type y;                                                        \
        type z;                                                        \
        type w;                                                        \
    };                                                                 \
    constexpr name##2 make_##name##2(type x, type y) {                 \
        return {x, y};                                                 \
    }                                                                  \
    constexpr name##3 make_##name##3(type x, type y, type z) {         \
        return {x, y, z};                                              \
    }                                                                  \
    constexpr name##4 make_##name##4(type x, type y, type z, type w) { \
        return {x, y, z, w};                                           \
    }

CUDA_EMULATION_VECTOR(unsigned short, ushort, 4, 8)
CUDA_EMULATION_VECTOR(int, int, 8, 16)
CUDA_EMULATION_VECTOR(unsigned, uint, 8, 16)
CUDA_EMULATION_VECTOR(long long, longlong, 16, 16)
CUDA_EMULATION_VECTOR(float, float, 8, 16)
CUDA_EMULATION_VECTOR(double, double, 16, 16)
#undef CUDA_EMULATION_VECTOR

struct dim3 {
    unsigned x = 1;
    unsigned y = 1;
    unsigned z = 1;

    constexpr dim3() = default;
    constexpr dim3(unsigned x_, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

inline uint3 threadIdx{};
inline uint3 blockIdx{};
inline dim3 blockDim{};
inline dim3 gridDim{};
inline constexpr int warpSize = 32;

// Arithmetic that device code may call by CUDA's names.
[[nodiscard]] inline float rsqrtf(float x) {
    return 1.0F / std::sqrt(x);
}
[[nodiscard]] inline float __expf(float x) {
    return std::exp(x);
}
[[nodiscard]] inline float __logf(float x) {
    return std::log(x);
}
[[nodiscard]] inline float __fdividef(float x, float y) {
    return x / y;
}
[[nodiscard]] inline float __fmaf_rn(float x, float y, float z) {
    return std::fma(x, y, z);
}
[[nodiscard]] inline float __fmul_rn(float x, float y) {
    return x * y;
}
[[nodiscard]] inline float __fadd_rn(float x, float y) {
    return x + y;
}
[[nodiscard]] inline unsigned __float_as_uint(float x) {
    return std::bit_cast<unsigned>(x);
}
[[nodiscard]] inline float __uint_as_float(unsigned x) {
    return std::bit_cast<float>(x);
}
[[nodiscard]] inline int __popc(unsigned x) {
    return std::popcount(x);
}
[[nodiscard]] inline int __ffs(int x) {
    return x == 0 ? 0 : std::countr_zero(static_cast<unsigned>(x)) + 1;
}
[[nodiscard]] inline int __clz(int x) {
    return std::countl_zero(static_cast<unsigned>(x));
}
[[nodiscard]] inline unsigned __umulhi(unsigned x, unsigned y) {
    return static_cast<unsigned>((std::uint64_t{x} * y) >> 32);
}
