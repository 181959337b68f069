#pragma once

/// Intel's tile instructions computed in C++, for kernels that are templates over them (gemm/amx.hpp).

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <iterator>

#include "flowfar/core/dtype.hpp"

namespace flowfar::testing {

/// How often tile instructions were used.
struct TileCounts {
    Index loads = 0;
    Index loads_once = 0;
    Index stores = 0;
    Index products = 0;
};

/// Eight registers of 16 rows of 64 bytes, as the Intel SDM, volume 2, defines the instructions on them.
struct EmulatedTiles {
    static constexpr Index word_bytes = sizeof(std::uint32_t);
    static inline std::uint32_t word[8][16][16];
    static inline TileCounts counts;

    template <int I>
    static void zero() {
        for (auto& row : word[I]) {
            std::fill(std::begin(row), std::end(row), 0U);
        }
    }
    template <int I>
    static void load(const void* from, Index stride) {
        ++counts.loads;
        copy_rows<I>(from, stride);
    }
    template <int I>
    static void load_once(const void* from, Index stride) {
        ++counts.loads_once;
        copy_rows<I>(from, stride);
    }
    template <int I>
    static void store(void* to, Index stride) {
        ++counts.stores;
        for (Index row = 0; row < 16; ++row) {
            std::copy_n(word[I][row], 16, static_cast<std::uint32_t*>(to) + row * stride / word_bytes);
        }
    }
    template <class Sum, int C, int A, int B>
    static void multiply_add() {
        ++counts.products;
        for (int m = 0; m < 16; ++m) {
            for (int n = 0; n < 16; ++n) {
                auto sum = std::bit_cast<Sum>(word[C][m][n]);
                add<A, B>(sum, m, n);
                word[C][m][n] = std::bit_cast<std::uint32_t>(sum);
            }
        }
    }

   private:
    static float number(std::uint32_t bits) {
        return static_cast<float>(bf16::from_bits(static_cast<std::uint16_t>(bits)));
    }
    template <int I>
    static void copy_rows(const void* from, Index stride) {
        for (Index row = 0; row < 16; ++row) {
            std::copy_n(static_cast<const std::uint32_t*>(from) + row * stride / word_bytes, 16, word[I][row]);
        }
    }
    /// The products of even and of odd elements have sums of their own, which are then added to the register's.
    template <int A, int B>
    static void add(float& sum, int m, int n) {
        float even = 0.0F;
        float odd = 0.0F;
        for (int k = 0; k < 16; ++k) {
            const std::uint32_t a = word[A][m][k];
            const std::uint32_t b = word[B][k][n];
            even = std::fma(number(a & 0xFFFFU), number(b & 0xFFFFU), even);
            odd = std::fma(number(a >> 16), number(b >> 16), odd);
        }
        sum += even + odd;
    }
    template <int A, int B>
    static void add(std::int32_t& sum, int m, int n) {
        for (int k = 0; k < 16; ++k) {
            for (int shift = 0; shift < 32; shift += 8) {
                sum += static_cast<std::int8_t>(word[A][m][k] >> shift & 0xFFU) *
                       static_cast<std::int32_t>(word[B][k][n] >> shift & 0xFFU);
            }
        }
    }
};

}  // namespace flowfar::testing
