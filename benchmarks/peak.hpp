#pragma once

// The peak that rates of products compare with.

#include <benchmark/benchmark.h>
#include <utility>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/backend/cpu/kernels/gemm/amx.hpp"

namespace flowfar::benchmarks {

#if defined(FLOWFAR_AVX512_BF16)
/// As many chains of multiply-adds in registers as K, which hides their latency.
template <bool Bf16, int... K>
FLOWFAR_AVX512_BF16 float multiply_add_registers(Index count, std::integer_sequence<int, K...>) {
    __m512 sum[] = {_mm512_set1_ps(static_cast<float>(K))...};
    __m512 x = _mm512_set1_ps(1e-9F);
    asm volatile("" : "+v"(x));  // stays in a register: a constant would be read from memory each time
    for (Index i = 0; i < count; ++i) {
        if constexpr (Bf16) {
            ((sum[K] = _mm512_dpbf16_ps(sum[K], (__m512bh)x, (__m512bh)x)), ...);
        } else {
            ((sum[K] = _mm512_fmadd_ps(x, sum[K], x)), ...);
        }
    }
    __m512 total = _mm512_setzero_ps();
    ((total = _mm512_add_ps(total, sum[K])), ...);
    return _mm512_reduce_add_ps(total);
}
#endif

#if defined(FLOWFAR_AVX512_BF16) && defined(__linux__)
/// Four products at a time in tile registers, as a block of 32×32 sums has.
inline void multiply_add_tiles(Index count) {
    using Tiles = cpu::bf16_product::AmxTiles;
    const cpu::bf16_product::TileScope scope;
    for (Index i = 0; i < count; ++i) {
        Tiles::multiply_add<float, 0, 4, 6>();
        Tiles::multiply_add<float, 1, 4, 7>();
        Tiles::multiply_add<float, 2, 5, 6>();
        Tiles::multiply_add<float, 3, 5, 7>();
    }
}
#endif

/// Multiply-adds in the registers of the unit that products use: tiles for bf16 where the CPU has them, vectors
/// otherwise. All threads at once.
inline void peak(benchmark::State& state) {
#if defined(FLOWFAR_AVX512_BF16)
    const bool bf16 = state.range(0) == 1;
    const Index threads = Cpu::threads();
    const auto measure = [&](Index operations, auto&& work) {
        for (auto _ : state) {
            cpu::parallel_for(threads, 1, [&](Index begin, Index end) {
                for (Index i = begin; i < end; ++i) {
                    work();
                }
            });
        }
        state.SetItemsProcessed(state.iterations() * threads * operations);
    };
#if defined(__linux__)
    if (bf16 && cpu::bf16_product::AmxTiles::available()) {
        constexpr Index repeats = 1 << 15;
        measure(repeats * 4 * 2 * 16 * 16 * 32, [] { multiply_add_tiles(repeats); });
        state.SetLabel("tile registers");
        return;
    }
#endif
    if (Cpu::has_bf16_products()) {
        constexpr Index repeats = 1 << 18;
        constexpr auto chains = std::make_integer_sequence<int, 24>{};
        measure(repeats * 24 * 16 * (bf16 ? 4 : 2), [&] {
            benchmark::DoNotOptimize(bf16 ? multiply_add_registers<true>(repeats, chains)
                                          : multiply_add_registers<false>(repeats, chains));
        });
        state.SetLabel("vector registers");
        return;
    }
#endif
    state.SkipWithError("this CPU has no AVX-512 with bf16");
}

}  // namespace flowfar::benchmarks
