#pragma once

/// The tensor cores' instructions (sm_80 and later) as functions. Fragments, with g = lane / 4 and t = lane % 4:
/// - A [16, 16]: register r holds row g + 8 (r % 2), columns 2t + 8 (r / 2) and the next one.
/// - B [16, 8]: register r holds rows 2t + 8 r and the next one, column g.
/// - C, D [16, 8]: element i is row g + 8 (i / 2), column 2t + i % 2.
/// So two neighboring C tiles, rounded to bf16 and packed, are an A tile.

#include <cstdint>

#include "flowfar/backend/cuda/runtime/device.cuh"

namespace flowfar::cuda {

/// d += a b with bf16 operands and float accumulation.
__device__ inline void mma_m16n8k16_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(__CUDA_ARCH__)
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif defined(CUDA_EMULATION)
    cuda_emulation::mma_m16n8k16_bf16(d, a, b);
#endif
}

#if defined(__CUDA_ARCH__)
[[nodiscard]] __device__ inline unsigned shared_address(const void* pointer) {
    return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}
#endif

/// Loads four 8×8 matrices of bf16 from shared memory: lane 8m + r gives the address of row r of matrix m, a multiple
/// of 16; out[m] is row g, columns 2t and 2t + 1 of matrix m. The address is `base` + `offset` bytes: kept apart, the
/// base costs one 32-bit register and constant parts of the offset none.
__device__ __forceinline__ void ldmatrix_x4(unsigned (&out)[4], const void* base, int offset) {
#if defined(__CUDA_ARCH__)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(shared_address(base) + static_cast<unsigned>(offset))
                 : "memory");
#elif defined(CUDA_EMULATION)
    cuda_emulation::ldmatrix_x4(out, static_cast<const char*>(base) + offset, false);
#endif
}
/// `ldmatrix_x4` of transposed matrices: out[m] is rows 2t and 2t + 1, column g.
__device__ __forceinline__ void ldmatrix_x4_trans(unsigned (&out)[4], const void* base, int offset) {
#if defined(__CUDA_ARCH__)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(shared_address(base) + static_cast<unsigned>(offset))
                 : "memory");
#elif defined(CUDA_EMULATION)
    cuda_emulation::ldmatrix_x4(out, static_cast<const char*>(base) + offset, true);
#endif
}

/// Begins a copy of 16 bytes from global to shared memory, to `base` + `offset` bytes; without `valid` zeros are
/// written and nothing is read. Both addresses are multiples of 16. The copy has ended after cp_async_commit and
/// cp_async_wait; other threads see it after a barrier.
__device__ __forceinline__ void cp_async_16(void* base, int offset, const void* global, bool valid = true) {
#if defined(__CUDA_ARCH__)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(base) + static_cast<unsigned>(offset)), "l"(global), "r"(valid ? 16 : 0)
                 : "memory");
#elif defined(CUDA_EMULATION)
    cuda_emulation::cp_async(static_cast<char*>(base) + offset, global, 16, valid ? 16 : 0);
#endif
}
/// Closes the group of the copies that the thread began since the last commit.
__device__ inline void cp_async_commit() {
#if defined(__CUDA_ARCH__)
    asm volatile("cp.async.commit_group;" : : : "memory");
#elif defined(CUDA_EMULATION)
    cuda_emulation::cp_async_commit();
#endif
}
/// Waits until at most the last `pending` groups of the thread are under way.
template <int pending>
__device__ void cp_async_wait() {
#if defined(__CUDA_ARCH__)
    asm volatile("cp.async.wait_group %0;" : : "n"(pending) : "memory");
#elif defined(CUDA_EMULATION)
    cuda_emulation::cp_async_wait(pending);
#endif
}

/// Two floats rounded to bf16 (nearest, ties to even) in one register, `low` in the lower half.
[[nodiscard]] __device__ inline unsigned pack_bf16(float low, float high) {
#if defined(__CUDA_ARCH__)
    unsigned out;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
    return out;
#else
    return static_cast<unsigned>(bf16(low).bits) | static_cast<unsigned>(bf16(high).bits) << 16;
#endif
}

}  // namespace flowfar::cuda
