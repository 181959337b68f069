#pragma once

#include <cstdint>

namespace flowfar::cpu {

/// While one lives, its thread's arithmetic takes subnormal numbers (f32: below 2^-126, about 1.2e-38) for zero and
/// gives zero where a result would be one, because some CPUs need 150 cycles for each of them (Intel; AMD since Zen
/// needs none). Saturated probabilities and their gradients, tails of softmax and moments of Adam are full of them.
///
/// Every operation of the CPU backend computes like this, on the pool's threads and on the caller's, whose mode is as
/// before when the operation returns or throws. So results do not depend on the mode of the thread that asks for them.
/// They differ from the reference backend, which keeps subnormal numbers, by less than 2^-126 per operation; also from
/// CUDA: nvcc keeps them in f32 unless told otherwise (-ftz=false). Copies keep every bit. x86-64 decides after
/// rounding whether a result is subnormal, AArch64 before. On other CPUs this does nothing.
class FlushSubnormals {
   public:
    FlushSubnormals() : before_(control()) {
        if ((before_ & flush) != flush) {
            set_control(before_ | flush);
        }
    }
    ~FlushSubnormals() {
        if ((before_ & flush) != flush) {
            set_control(before_);
        }
    }
    FlushSubnormals(const FlushSubnormals&) = delete;
    FlushSubnormals& operator=(const FlushSubnormals&) = delete;

    /// Whether this thread's arithmetic is in this mode.
    [[nodiscard]] static bool active() { return flush != 0 && (control() & flush) == flush; }

   private:
    // "memory": the compiler must not move arithmetic on tensors across the change of mode.
#if defined(__x86_64__)
    using Word = std::uint32_t;
    static constexpr Word flush = 0x8040;  // MXCSR: results to zero, and subnormal operands are zero
    [[nodiscard]] static Word control() {
        Word word = 0;
        asm volatile("stmxcsr %0" : "=m"(word) : : "memory");
        return word;
    }
    static void set_control(Word word) { asm volatile("ldmxcsr %0" : : "m"(word) : "memory"); }
#elif defined(__aarch64__)
    using Word = std::uint64_t;
    static constexpr Word flush = Word{1} << 24;  // FPCR.FZ
    [[nodiscard]] static Word control() {
        Word word = 0;
        asm volatile("mrs %0, fpcr" : "=r"(word) : : "memory");
        return word;
    }
    static void set_control(Word word) { asm volatile("msr fpcr, %0" : : "r"(word) : "memory"); }
#else
    using Word = std::uint32_t;
    static constexpr Word flush = 0;
    [[nodiscard]] static Word control() { return 0; }
    static void set_control(Word /*word*/) {}
#endif

    Word before_;
};

}  // namespace flowfar::cpu
