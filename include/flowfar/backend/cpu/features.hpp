#pragma once

#include "flowfar/config.hpp"

namespace flowfar::cpu {

/// Whether this CPU has AVX-512 with products of bf16 pairs (Intel since Cooper Lake, AMD since Zen 4). Feature bits
/// decide, so one binary serves all machines.
[[nodiscard]] inline bool has_avx512_bf16() {
#if defined(FLOWFAR_AVX512_BF16)
    static const bool value = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                              __builtin_cpu_supports("avx512bf16");
    return value;
#else
    return false;
#endif
}

}  // namespace flowfar::cpu
