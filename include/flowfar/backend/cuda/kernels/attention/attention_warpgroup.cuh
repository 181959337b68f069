#pragma once

/// Hopper's instructions for warpgroups (four warps) as functions: asynchronous products of tiles in shared memory
/// (wgmma, sm_90a), barriers that count arrivals, register budgets. Layouts and descriptors: PTX ISA, "Asynchronous
/// warpgroup level matrix instructions". Each warp of a warpgroup has the accumulators of 16 rows, as in
/// tensor_core.cuh; they must not be touched between a product and warpgroup_wait.

#include "flowfar/backend/cuda/kernels/attention/attention_tile.cuh"

namespace flowfar::cuda {

/// The columns of one page of a tile: a tile [rows, depth] is stored as pages [rows, page], one after another, each
/// swizzled like a tile of this depth (tile_chunk), in the layout that wgmma calls 128-byte or 64-byte swizzle.
[[nodiscard]] constexpr int page_columns(int depth) {
    return depth % 64 == 0 ? 64 : 32;
}

/// The address in the window of shared memory, as instructions take it.
[[nodiscard]] __device__ __forceinline__ unsigned window_address([[maybe_unused]] const void* address) {
#if defined(__CUDA_ARCH__)
    return shared_address(address);
#elif defined(CUDA_EMULATION)
    return cuda_emulation::shared_address(address);
#else
    return 0;
#endif
}

/// The first multiple of 1024 in the block's dynamic shared memory: swizzles count from there.
[[nodiscard]] __device__ __forceinline__ unsigned char* dynamic_shared_1024() {
    unsigned char* const begin = dynamic_shared();
    return begin + (1024 - window_address(begin) % 1024) % 1024;
}

/// Describes rows of a page from `address` on, for wgmma. A product by rows (the reduction runs along them) uses only
/// the distance between groups of eight rows; a product by columns (the reduction runs over rows) also uses the
/// distance between pages, in bytes.
template <int page>
[[nodiscard]] __device__ __forceinline__ std::uint64_t describe_page(const void* address, int pages = 16) {
    constexpr std::uint64_t group = 16 * page;  // bytes of eight rows
    constexpr std::uint64_t swizzle = page == 64 ? 1 : 2;
    return std::uint64_t{window_address(address) & 0x3FFFFU} >> 4 |
           static_cast<std::uint64_t>(static_cast<unsigned>(pages) >> 4) << 16 | group >> 4 << 32 | swizzle << 62;
}

/// d = a bᵀ, added to d with `accumulate`; a [64, 16] and b [columns, 16] are rows in shared memory.
template <int columns>
__device__ void multiply_shared(float (&d)[columns / 8][4], std::uint64_t a, std::uint64_t b, bool accumulate);

/// d += a b; a [64, 16] is in registers (each warp's part as an A tile of tensor_core.cuh), b [16, columns] in shared
/// memory.
template <int columns>
__device__ void multiply_registers(float (&d)[columns / 8][4], const unsigned (&a)[4], std::uint64_t b);

template <>
__device__ __forceinline__ void multiply_shared<128>(float (&d)[16][4], std::uint64_t a, std::uint64_t b,
                                                     bool accumulate) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "setp.ne.b32 p, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "%64, %65, p, 1, 1, 0, 0;\n"
        "}\n"
        : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]),
          "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]),
          "+f"(d[3][2]), "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]),
          "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]),
          "+f"(d[7][0]), "+f"(d[7][1]), "+f"(d[7][2]), "+f"(d[7][3]), "+f"(d[8][0]), "+f"(d[8][1]), "+f"(d[8][2]),
          "+f"(d[8][3]), "+f"(d[9][0]), "+f"(d[9][1]), "+f"(d[9][2]), "+f"(d[9][3]), "+f"(d[10][0]), "+f"(d[10][1]),
          "+f"(d[10][2]), "+f"(d[10][3]), "+f"(d[11][0]), "+f"(d[11][1]), "+f"(d[11][2]), "+f"(d[11][3]),
          "+f"(d[12][0]), "+f"(d[12][1]), "+f"(d[12][2]), "+f"(d[12][3]), "+f"(d[13][0]), "+f"(d[13][1]),
          "+f"(d[13][2]), "+f"(d[13][3]), "+f"(d[14][0]), "+f"(d[14][1]), "+f"(d[14][2]), "+f"(d[14][3]),
          "+f"(d[15][0]), "+f"(d[15][1]), "+f"(d[15][2]), "+f"(d[15][3])
        : "l"(a), "l"(b), "r"(accumulate ? 1 : 0));
#elif defined(CUDA_EMULATION)
    cuda_emulation::wgmma(&d[0][0], 128, nullptr, a, b, accumulate, false);
#endif
}

template <>
__device__ __forceinline__ void multiply_registers<64>(float (&d)[8][4], const unsigned (&a)[4],
                                                       [[maybe_unused]] std::uint64_t b) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
        "{%32, %33, %34, %35}, %36, 1, 1, 1, 1;"
        : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]),
          "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]),
          "+f"(d[3][2]), "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]),
          "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]),
          "+f"(d[7][0]), "+f"(d[7][1]), "+f"(d[7][2]), "+f"(d[7][3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
#elif defined(CUDA_EMULATION)
    cuda_emulation::wgmma(&d[0][0], 64, a, 0, b, true, true);
#endif
}

template <>
__device__ __forceinline__ void multiply_registers<96>(float (&d)[12][4], const unsigned (&a)[4],
                                                       [[maybe_unused]] std::uint64_t b) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n96k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47}, "
        "{%48, %49, %50, %51}, %52, 1, 1, 1, 1;"
        : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]),
          "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]),
          "+f"(d[3][2]), "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]),
          "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]),
          "+f"(d[7][0]), "+f"(d[7][1]), "+f"(d[7][2]), "+f"(d[7][3]), "+f"(d[8][0]), "+f"(d[8][1]), "+f"(d[8][2]),
          "+f"(d[8][3]), "+f"(d[9][0]), "+f"(d[9][1]), "+f"(d[9][2]), "+f"(d[9][3]), "+f"(d[10][0]), "+f"(d[10][1]),
          "+f"(d[10][2]), "+f"(d[10][3]), "+f"(d[11][0]), "+f"(d[11][1]), "+f"(d[11][2]), "+f"(d[11][3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
#elif defined(CUDA_EMULATION)
    cuda_emulation::wgmma(&d[0][0], 96, a, 0, b, true, true);
#endif
}

template <>
__device__ __forceinline__ void multiply_registers<128>(float (&d)[16][4], const unsigned (&a)[4],
                                                        [[maybe_unused]] std::uint64_t b) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
        "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
        "{%64, %65, %66, %67}, %68, 1, 1, 1, 1;"
        : "+f"(d[0][0]), "+f"(d[0][1]), "+f"(d[0][2]), "+f"(d[0][3]), "+f"(d[1][0]), "+f"(d[1][1]), "+f"(d[1][2]),
          "+f"(d[1][3]), "+f"(d[2][0]), "+f"(d[2][1]), "+f"(d[2][2]), "+f"(d[2][3]), "+f"(d[3][0]), "+f"(d[3][1]),
          "+f"(d[3][2]), "+f"(d[3][3]), "+f"(d[4][0]), "+f"(d[4][1]), "+f"(d[4][2]), "+f"(d[4][3]), "+f"(d[5][0]),
          "+f"(d[5][1]), "+f"(d[5][2]), "+f"(d[5][3]), "+f"(d[6][0]), "+f"(d[6][1]), "+f"(d[6][2]), "+f"(d[6][3]),
          "+f"(d[7][0]), "+f"(d[7][1]), "+f"(d[7][2]), "+f"(d[7][3]), "+f"(d[8][0]), "+f"(d[8][1]), "+f"(d[8][2]),
          "+f"(d[8][3]), "+f"(d[9][0]), "+f"(d[9][1]), "+f"(d[9][2]), "+f"(d[9][3]), "+f"(d[10][0]), "+f"(d[10][1]),
          "+f"(d[10][2]), "+f"(d[10][3]), "+f"(d[11][0]), "+f"(d[11][1]), "+f"(d[11][2]), "+f"(d[11][3]),
          "+f"(d[12][0]), "+f"(d[12][1]), "+f"(d[12][2]), "+f"(d[12][3]), "+f"(d[13][0]), "+f"(d[13][1]),
          "+f"(d[13][2]), "+f"(d[13][3]), "+f"(d[14][0]), "+f"(d[14][1]), "+f"(d[14][2]), "+f"(d[14][3]),
          "+f"(d[15][0]), "+f"(d[15][1]), "+f"(d[15][2]), "+f"(d[15][3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
#elif defined(CUDA_EMULATION)
    cuda_emulation::wgmma(&d[0][0], 128, a, 0, b, true, true);
#endif
}

/// Orders the registers and the shared memory that the next products read after what the warps did before.
__device__ __forceinline__ void warpgroup_fence() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("wgmma.fence.sync.aligned;" : : : "memory");
#endif
}
/// Closes the group of the products since the last commit.
__device__ __forceinline__ void warpgroup_commit() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("wgmma.commit_group.sync.aligned;" : : : "memory");
#elif defined(CUDA_EMULATION)
    cuda_emulation::wgmma_commit();
#endif
}
/// Waits until at most the last `pending` groups are under way.
template <int pending>
__device__ __forceinline__ void warpgroup_wait() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("wgmma.wait_group.sync.aligned %0;" : : "n"(pending) : "memory");
#elif defined(CUDA_EMULATION)
    cuda_emulation::wgmma_wait(pending);
#endif
}
/// Keeps the compiler from moving uses of accumulators across this point.
template <int tiles>
__device__ __forceinline__ void pin_accumulators([[maybe_unused]] float (&d)[tiles][4]) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#pragma unroll
    for (int n = 0; n < tiles; ++n) {
        asm volatile("" : "+f"(d[n][0]), "+f"(d[n][1]), "+f"(d[n][2]), "+f"(d[n][3])::"memory");
    }
#endif
}

/// What threads wrote to shared memory and made known through a barrier is visible to the products that follow.
__device__ __forceinline__ void async_proxy_fence() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("fence.proxy.async.shared::cta;" : : : "memory");
#endif
}

/// The registers per thread that the calling warpgroup gives back (`fewer`) or takes; multiples of 8.
template <int registers>
__device__ __forceinline__ void fewer_registers() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" : : "n"(registers));
#endif
}
template <int registers>
__device__ __forceinline__ void more_registers() {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" : : "n"(registers));
#endif
}

/// A barrier in shared memory whose phase ends when `count` arrivals are counted; then the next begins. One thread
/// initializes it, and all meet in __syncthreads before they use it.
__device__ __forceinline__ void barrier_init([[maybe_unused]] std::uint64_t* barrier, [[maybe_unused]] int count) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" : : "r"(shared_address(barrier)), "r"(count) : "memory");
#elif defined(CUDA_EMULATION)
    cuda_emulation::Block::current().counter_init(barrier, count);
#endif
}
__device__ __forceinline__ void barrier_arrive([[maybe_unused]] std::uint64_t* barrier) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" : : "r"(shared_address(barrier)) : "memory");
#elif defined(CUDA_EMULATION)
    cuda_emulation::Block::current().counter_arrive(barrier);
#endif
}
/// Arrives when all cp.async copies that the thread began so far have ended.
__device__ __forceinline__ void barrier_arrive_after_copies([[maybe_unused]] std::uint64_t* barrier) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" : : "r"(shared_address(barrier)) : "memory");
#elif defined(CUDA_EMULATION)
    cuda_emulation::cp_async_commit();
    cuda_emulation::cp_async_wait(0);
    cuda_emulation::Block::current().counter_arrive(barrier);
#endif
}
/// Waits for the end of phase number n, where `parity` is n % 2.
__device__ __forceinline__ void barrier_wait([[maybe_unused]] std::uint64_t* barrier, [[maybe_unused]] int parity) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@done bra finished;\n"
        "bra again;\n"
        "finished:\n"
        "}\n"
        :
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
#elif defined(CUDA_EMULATION)
    cuda_emulation::Block::current().counter_wait(barrier, parity);
#endif
}

}  // namespace flowfar::cuda
