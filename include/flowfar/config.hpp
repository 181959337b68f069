#pragma once

/// The only macros of the library (all start with FLOWFAR_).

#if __cplusplus < 202002L
#error "flowfar needs C++20: compile with -std=c++20 (CMake: target_compile_features(app PRIVATE cxx_std_20))"
#endif

/// Define FLOWFAR_REQUIRE_OPTIMIZATION where a slow build by mistake would cost more than an error: without -O, the
/// library is about nine times as slow.
#if defined(FLOWFAR_REQUIRE_OPTIMIZATION) && defined(__GNUC__) && !defined(__OPTIMIZE__)
#error "flowfar: compiled without optimization, nine times as slow; add -O2 (CMake: CMAKE_BUILD_TYPE=Release)"
#endif

/// FLOWFAR_HD marks a function that CUDA device code may call too; it is empty for host compilers.
#if defined(__CUDACC__)
#define FLOWFAR_HD __host__ __device__
#else
#define FLOWFAR_HD
#endif

/// The CMake target flowfar::compiled defines FLOWFAR_SEPARATE_DEFINITIONS for all that links it: what takes long to
/// compile and depends on no template argument (the CPU backend's kernels, the linear algebra of the metrics, the
/// readers of weights) is then compiled only in its units, impl/cpu.cpp, impl/metrics.cpp and impl/io.cpp. Without it
/// everything is header-only.
#if defined(FLOWFAR_SEPARATE_DEFINITIONS)
#define FLOWFAR_INLINE
#else
#define FLOWFAR_INLINE inline
#endif

/// These compile one function for CPUs with the named instructions, whatever the unit is compiled for; call such
/// functions only where cpu::instruction_set(), cpu::has_avx512_bf16() or cpu::has_avx512_int8() says so. Lambdas
/// inside such a function are compiled for them only if marked always_inline.
#if defined(__x86_64__) && defined(__GNUC__)
#define FLOWFAR_AVX2 __attribute__((target("avx2,fma")))
#define FLOWFAR_AVX512 __attribute__((target("avx512f,avx2,fma")))
#define FLOWFAR_AVX512_BF16 __attribute__((target("avx512f,avx2,fma,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define FLOWFAR_AVX512_INT8 __attribute__((target("avx512f,avx2,fma,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni")))
#endif
