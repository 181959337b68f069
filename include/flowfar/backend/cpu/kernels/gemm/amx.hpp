#pragma once

/// Intel AMX: matrix products of 16×16 tiles in registers of their own. The kernel is a template over the tile
/// instructions, so that it can be tested on CPUs that have none.

#include "flowfar/backend/cpu/kernels/gemm/bf16_kernel.hpp"

#if defined(FLOWFAR_AVX512_BF16) && defined(__linux__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <type_traits>
#include <unistd.h>

namespace flowfar::cpu::bf16_product {

/// What LDTILECFG reads: the shapes of the eight tile registers (Intel SDM, volume 1, section 18.2).
struct alignas(64) TileShapes {
    std::uint8_t palette = 1;
    std::uint8_t start_row = 0;
    std::uint8_t reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

/// The tile instructions. The compiler's intrinsics tell it neither that they read and write memory nor how much, hence
/// the assembly.
struct AmxTiles {
    /// Every thread sets the shapes before its first tile instruction; this empties the registers.
    static void configure() {
        static constexpr TileShapes shapes;
        asm volatile("ldtilecfg %0" : : "m"(shapes));
    }
    /// After the last one: a thread with tiles in use costs more at every context switch.
    static void release() { asm volatile("tilerelease" : : : "memory"); }

    template <int I>
    static void zero() {
        asm volatile("tilezero %%tmm%c0" : : "i"(I));
    }
    /// 16 rows of 64 bytes, `stride` bytes apart.
    template <int I>
    static void load(const void* from, Index stride) {
        asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(I) : "memory");
    }
    /// Leaves what is there in the first cache alone.
    template <int I>
    static void load_once(const void* from, Index stride) {
        asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(I) : "memory");
    }
    template <int I>
    static void store(void* to, Index stride) {
        asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(I) : "memory");
    }
    /// c[m][n] += a[m][k] · b[k][n]: pairs of bf16 with f32 sums, or, with 32-bit integer sums, quads of bytes, signed
    /// in a and unsigned in b.
    template <class Sum, int C, int A, int B>
    static void multiply_add() {
        if constexpr (std::is_same_v<Sum, float>) {
            asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
        } else {
            static_assert(std::is_same_v<Sum, std::int32_t>);
            asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(C), "i"(A), "i"(B));
        }
    }

    /// Whether CPU and kernel have AMX with bf16; asks the kernel for the registers, once per process.
    [[nodiscard]] static bool available() {
        static const bool value = has_avx512_bf16() && has(1U << 22);
        return value;
    }
    /// Whether CPU and kernel have AMX with bytes, too.
    [[nodiscard]] static bool available_for_bytes() {
        static const bool value = has_avx512_bf16() && has(1U << 25);
        return value;
    }

   private:
    /// `feature` is a bit of CPUID's leaf 7, EDX.
    [[nodiscard]] static bool has(unsigned feature) {
        unsigned a = 0;
        unsigned b = 0;
        unsigned c = 0;
        unsigned d = 0;
        constexpr unsigned tile = 1U << 24;
        if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & tile) == 0 || (d & feature) == 0) {
            return false;
        }
        constexpr long request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM
        constexpr long tile_data = 18;               // XFEATURE_XTILEDATA
        return ::syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
    }
};

/// Rows of the result that the kernel computes at a time; packed left rows must exist up to a multiple of it.
inline constexpr Index amx_rows = 32;
/// Pairs of one step; packed operands hold zeros up to a multiple of it.
inline constexpr Index amx_pairs = 16;

/// sums [rows][32] to where they belong.
FLOWFAR_AVX512_BF16 inline void put_rows(const float* sums, Index rows, const Target& to) {
    const __mmask16 used[2] = {first(to.columns), first(to.columns - lanes)};
    const __m512 alpha = _mm512_set1_ps(to.alpha);
    for (Index row = 0; row < rows; ++row) {
        for (int half = 0; half < 2; ++half) {
            float* const c = to.c + row * to.ldc + half * lanes;
            const __m512 sum = _mm512_loadu_ps(sums + row * panel_columns + half * lanes);
            const __m512 before = to.add ? _mm512_maskz_loadu_ps(used[half], c) : _mm512_setzero_ps();
            _mm512_mask_storeu_ps(c, used[half], _mm512_fmadd_ps(alpha, sum, before));
        }
    }
}

/// Up to 32 packed left rows times one packed panel: 2 × 2 tiles of sums [32][32], of which the first `rows` rows, at
/// least, are written to `to`. They begin with the sums `before`, if there are any. Operands are `words` words long and
/// laid out as for `tile`, of bf16 pairs or byte quads. `step()` is called as often as there are steps.
/// All loads of a step come before its products: so the unit of products never waits (Sapphire Rapids, operands in the
/// second cache: 0.98 of the peak; with loads and products mixed 0.86). What comes from the panel is used once.
template <class Tiles, class Sum, class Step>
[[gnu::always_inline]] inline void amx_sums(const Pair* a, Index stride, Index rows, const Pair* panel, Index words,
                                            const Sum* before, Sum* to, Step&& step) {
    constexpr Index word = sizeof(Pair);
    constexpr Index line = panel_columns * word;
    const bool tall = rows > lanes;
    if (before == nullptr) {
        Tiles::template zero<0>();
        Tiles::template zero<1>();
        Tiles::template zero<2>();
        Tiles::template zero<3>();
    } else {
        Tiles::template load<0>(before, line);
        Tiles::template load<1>(before + lanes, line);
        if (tall) {
            Tiles::template load<2>(before + lanes * panel_columns, line);
            Tiles::template load<3>(before + lanes * panel_columns + lanes, line);
        }
    }
    for (Index p = 0; p < words; p += amx_pairs) {
        const Pair* const b = panel + p * panel_columns;
        Tiles::template load_once<6>(b, line);
        Tiles::template load_once<7>(b + lanes, line);
        Tiles::template load<4>(a + p, stride * word);
        if (tall) {
            Tiles::template load<5>(a + lanes * stride + p, stride * word);
        }
        Tiles::template multiply_add<Sum, 0, 4, 6>();
        Tiles::template multiply_add<Sum, 1, 4, 7>();
        if (tall) {
            Tiles::template multiply_add<Sum, 2, 5, 6>();
            Tiles::template multiply_add<Sum, 3, 5, 7>();
        }
        step();
    }
    Tiles::template store<0>(to, line);
    Tiles::template store<1>(to + lanes, line);
    if (tall) {
        Tiles::template store<2>(to + lanes * panel_columns, line);
        Tiles::template store<3>(to + lanes * panel_columns + lanes, line);
    }
}

template <class Tiles>
void multiply_amx(const Pair* a, Index stride, Index rows, const Pair* panel, Index pairs, const Target& to) {
    alignas(64) float sums[amx_rows * panel_columns];
    amx_sums<Tiles, float>(a, stride, rows, panel, pairs, nullptr, sums, [] {});
    put_rows(sums, rows, to);
}

/// Around the products of a thread's task: the tile registers are ready while one lives, if they are wanted.
class TileScope {
   public:
    explicit TileScope(bool wanted = AmxTiles::available()) : wanted_(wanted) {
        if (wanted_) {
            AmxTiles::configure();
        }
    }
    ~TileScope() {
        if (wanted_) {
            AmxTiles::release();
        }
    }
    TileScope(const TileScope&) = delete;
    TileScope& operator=(const TileScope&) = delete;

   private:
    bool wanted_;
};

}  // namespace flowfar::cpu::bf16_product

#endif
