#pragma once

/// Which instructions the CPU has. Feature bits decide at run time, so that one binary serves all machines.

#include <algorithm>
#include <atomic>

#include "flowfar/config.hpp"

namespace flowfar::cpu {

/// The vector instructions that f32 kernels are written for, each set including those before it.
enum class InstructionSet {
    portable,  ///< what the compiler's flags allow
    avx2,      ///< AVX2 and FMA: x86-64 since 2013
    avx512,    ///< AVX-512F
};

/// What a program needs anyway is no choice: kernels narrower than the compiler's flags are not compiled.
#if defined(FLOWFAR_AVX2) && defined(__AVX2__) && defined(__FMA__)
inline constexpr InstructionSet narrowest_instruction_set = InstructionSet::avx2;
#else
inline constexpr InstructionSet narrowest_instruction_set = InstructionSet::portable;
#endif

/// The widest that this CPU has.
[[nodiscard]] inline InstructionSet widest_instruction_set() {
#if defined(FLOWFAR_AVX2)
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        return __builtin_cpu_supports("avx512f") ? InstructionSet::avx512 : InstructionSet::avx2;
    }
#endif
    return narrowest_instruction_set;
}

[[nodiscard]] inline std::atomic<InstructionSet>& chosen_instruction_set() {
    static std::atomic<InstructionSet> value{widest_instruction_set()};
    return value;
}
/// The one to use.
[[nodiscard]] inline InstructionSet instruction_set() {
    return chosen_instruction_set().load(std::memory_order_relaxed);
}

/// For tests: while one lives, all threads do without instructions wider than `most`, as on an older CPU; but not
/// without those that the program is compiled for.
class NarrowerInstructions {
   public:
    explicit NarrowerInstructions(InstructionSet most)
        : before_(chosen_instruction_set().exchange(
              std::clamp(most, narrowest_instruction_set, widest_instruction_set()))) {}
    ~NarrowerInstructions() { chosen_instruction_set().store(before_); }
    NarrowerInstructions(const NarrowerInstructions&) = delete;
    NarrowerInstructions& operator=(const NarrowerInstructions&) = delete;

   private:
    InstructionSet before_;
};

#if defined(FLOWFAR_AVX512) && !defined(__clang__)
template <class F>
FLOWFAR_AVX512 void call_with_avx512(F& f) {
    f();
}
template <class F>
FLOWFAR_AVX2 void call_with_avx2(F& f) {
    f();
}
#endif

/// Calls `f()`, f32 loops that the compiler vectorizes, compiled for the instructions in use. `f` must be marked
/// always_inline: only what is inlined is compiled anew. Nothing is contracted to fused multiply-adds (CMakeLists.txt),
/// so all instructions give the same bits. clang vectorizes such loops worse for AVX than for SSE (version 19, sums of
/// 32 lanes: 3 times as long), so it compiles them once, for what its flags allow.
template <class F>
void with_instructions(F&& f) {
#if defined(FLOWFAR_AVX512) && !defined(__clang__)
    const InstructionSet set = instruction_set();
    if (set == InstructionSet::avx512) {
        return call_with_avx512(f);
    }
    if (set == InstructionSet::avx2) {
        return call_with_avx2(f);
    }
#endif
    f();
}

/// Whether this CPU has AVX-512 with products of bf16 pairs (Intel since Cooper Lake, AMD since Zen 4).
[[nodiscard]] inline bool has_avx512_bf16() {
#if defined(FLOWFAR_AVX512_BF16)
    static const bool value = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                              __builtin_cpu_supports("avx512bf16");
    return value && instruction_set() == InstructionSet::avx512;
#else
    return false;
#endif
}

/// Whether it has products of bytes as well (VNNI; Intel since Cooper Lake, AMD since Zen 4).
[[nodiscard]] inline bool has_avx512_int8() {
#if defined(FLOWFAR_AVX512_INT8)
    static const bool value = __builtin_cpu_supports("avx512vnni");
    return value && has_avx512_bf16();
#else
    return false;
#endif
}

}  // namespace flowfar::cpu
