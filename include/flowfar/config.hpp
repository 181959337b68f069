#pragma once

/// The only macros of the library (all start with FLOWFAR_).

/// FLOWFAR_HD marks a function that CUDA device code may call too; it is empty for host compilers.
#if defined(__CUDACC__)
#define FLOWFAR_HD __host__ __device__
#else
#define FLOWFAR_HD
#endif
