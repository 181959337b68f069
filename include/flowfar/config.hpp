#pragma once

/// The only macros of the library (all start with FLOWFAR_).

/// FLOWFAR_HD marks a function that CUDA device code may call too; it is empty for host compilers.
#if defined(__CUDACC__)
#define FLOWFAR_HD __host__ __device__
#else
#define FLOWFAR_HD
#endif

/// With FLOWFAR_SEPARATE_CPU defined for a whole program, the CPU backend's kernels are compiled only in the units that
/// include flowfar/backend/cpu/definitions.hpp (there must be exactly one). Without it everything is header-only.
#if defined(FLOWFAR_SEPARATE_CPU)
#define FLOWFAR_INLINE
#else
#define FLOWFAR_INLINE inline
#endif

/// FLOWFAR_AVX512_BF16 compiles one function for CPUs with AVX-512 and its bf16 dot product, whatever the unit is
/// compiled for; call such functions only where cpu::has_avx512_bf16() says so.
#if defined(__x86_64__) && defined(__GNUC__)
#define FLOWFAR_AVX512_BF16 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#endif
