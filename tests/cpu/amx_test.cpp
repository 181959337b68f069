// The kernel for tile registers, with the tile instructions computed in C++: whatever this CPU has.
#include "flowfar/backend/cpu/kernels/gemm/amx.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <doctest/doctest.h>
#include <random>
#include <vector>

#include "flowfar/backend/cpu/kernels/gemm/bf16_rows.hpp"
#include "flowfar/backend/cpu/kernels/gemm/int8_kernel.hpp"

#if defined(FLOWFAR_AVX512_BF16) && defined(__linux__)

using namespace flowfar;
using namespace flowfar::cpu::bf16_product;

namespace {

float number(std::uint32_t bits) {
    return static_cast<float>(bf16::from_bits(static_cast<std::uint16_t>(bits)));
}

/// Eight registers of 16 rows of 64 bytes.
struct EmulatedTiles {
    static inline std::uint32_t word[8][16][16];

    template <int I>
    static void zero() {
        for (auto& row : word[I]) {
            std::fill(std::begin(row), std::end(row), 0U);
        }
    }
    template <int I>
    static void load(const Pair* from, Index stride) {
        for (Index row = 0; row < 16; ++row) {
            std::copy_n(from + row * stride / Index{sizeof(Pair)}, 16, word[I][row]);
        }
    }
    template <int I>
    static void store(void* to, Index stride) {
        for (Index row = 0; row < 16; ++row) {
            std::copy_n(word[I][row], 16, static_cast<std::uint32_t*>(to) + row * stride / Index{sizeof(Pair)});
        }
    }
    template <class Sum, int C, int A, int B>
    static void multiply_add() {
        for (int m = 0; m < 16; ++m) {
            for (int k = 0; k < 16; ++k) {
                for (int n = 0; n < 16; ++n) {
                    auto sum = std::bit_cast<Sum>(word[C][m][n]);
                    add(sum, word[A][m][k], word[B][k][n]);
                    word[C][m][n] = std::bit_cast<std::uint32_t>(sum);
                }
            }
        }
    }

   private:
    static void add(float& sum, std::uint32_t a, std::uint32_t b) {
        sum += number(a & 0xFFFFU) * number(b & 0xFFFFU) + number(a >> 16) * number(b >> 16);
    }
    static void add(std::int32_t& sum, std::uint32_t a, std::uint32_t b) {
        for (int shift = 0; shift < 32; shift += 8) {
            sum += static_cast<std::int8_t>(a >> shift & 0xFFU) * static_cast<std::int32_t>(b >> shift & 0xFFU);
        }
    }
};

constexpr unsigned seed = 17;

}  // namespace

TEST_CASE("tiles give the product of what was packed") {
    if (!cpu::has_avx512_bf16()) {
        MESSAGE("this CPU cannot pack bf16 operands: nothing to compare");
        return;
    }
    std::mt19937 engine(seed);
    const auto draw = [&](Index count) {
        std::vector<float> out(static_cast<std::size_t>(count));
        for (float& x : out) {
            x = static_cast<float>(bf16(std::uniform_real_distribution<float>(-1.0F, 1.0F)(engine)));
        }
        return out;
    };
    for (const Index rows : {1, 15, 16, 17, 32}) {
        for (const Index inner : {1, 31, 32, 33, 100}) {
            for (const Index columns : {1, 16, 31, 32}) {
                for (const bool add : {false, true}) {
                    CAPTURE(seed);
                    CAPTURE(rows);
                    CAPTURE(inner);
                    CAPTURE(columns);
                    const Index pairs = pair_count(inner);
                    const auto a = draw(rows * inner);
                    const auto b = draw(inner * columns);
                    std::vector<Pair> left(static_cast<std::size_t>(padded_rows(rows) * left_stride(pairs)));
                    std::vector<Pair> panel(static_cast<std::size_t>(panel_words(pairs)), 0x7FC07FC0U);  // NaN
                    pack_left(View<float>{a.data(), inner, true}, rows, inner, left.data());
                    pack_panel(View<float>{b.data(), columns, true}, 0, columns, inner, panel.data());
                    constexpr Index ld = 37;
                    constexpr float before = 2.0F;
                    std::vector<float> c(static_cast<std::size_t>(rows * ld), before);
                    multiply_amx<EmulatedTiles>(left.data(), left_stride(pairs), rows, panel.data(), pairs,
                                                {c.data(), ld, columns, 0.5F, add});
                    double worst = 0.0;
                    for (Index m = 0; m < rows; ++m) {
                        for (Index n = 0; n < ld; ++n) {
                            double expected = n < columns ? (add ? double{before} : 0.0) : double{before};
                            for (Index k = 0; n < columns && k < inner; ++k) {
                                expected += 0.5 * static_cast<double>(a[static_cast<std::size_t>(m * inner + k)]) *
                                            static_cast<double>(b[static_cast<std::size_t>(k * columns + n)]);
                            }
                            const auto found = static_cast<double>(c[static_cast<std::size_t>(m * ld + n)]);
                            worst = std::max(worst, std::isfinite(found) ? std::abs(found - expected) : 1e9);
                        }
                    }
                    CHECK(worst < 1e-5);
                }
            }
        }
    }
    if (!AmxTiles::available()) {
        MESSAGE("this CPU has no tile registers: their instructions themselves were not run");
    }
}

#if defined(FLOWFAR_AVX512_INT8)
TEST_CASE("tiles of bytes give the bits of the vector instructions") {
    if (!cpu::has_avx512_int8()) {
        MESSAGE("this CPU cannot multiply bytes: nothing to compare");
        return;
    }
    namespace bytes = cpu::int8_product;
    std::mt19937 engine(seed);
    for (const Index rows : {1, 14, 16, 17, 32}) {
        for (const Index inner : {1, 63, 64, 65, 300}) {
            for (const Index columns : {1, 16, 31, 32}) {
                CAPTURE(rows);
                CAPTURE(inner);
                CAPTURE(columns);
                const auto draw = [&](Index count) {
                    std::vector<float> out(static_cast<std::size_t>(count));
                    for (float& x : out) {
                        x = std::uniform_real_distribution<float>(-1.0F, 1.0F)(engine);
                    }
                    return out;
                };
                const auto a = draw(rows * inner);
                const auto b = draw(inner * columns);
                const Index stride = bytes::left_words(inner);
                std::vector<bytes::Quad> left(static_cast<std::size_t>(padded_rows(rows) * stride), 0x80808080U);
                std::vector<bytes::Quad> panel(static_cast<std::size_t>(bytes::panel_words(inner)), 0x80808080U);
                bytes::pack_left(View<float>{a.data(), inner, true}, rows, inner, left.data());
                bytes::pack_panel(View<float>{b.data(), columns, true}, 0, columns, inner, panel.data());
                constexpr Index ld = 37;
                std::vector<float> found(static_cast<std::size_t>(rows * ld), 2.0F);
                std::vector<float> expected = found;
                bytes::multiply_amx<EmulatedTiles>(left.data(), stride, rows, panel.data(), inner,
                                                   {found.data(), ld, columns, 0.5F});
                for_tiles(rows, bytes::tiles, [&](Index row, auto tile) {
                    tile(left.data() + row * stride, stride, panel.data(), inner,
                         {expected.data() + row * ld, ld, columns, 0.5F});
                });
                CHECK(found == expected);
            }
        }
    }
    if (!AmxTiles::available_for_bytes()) {
        MESSAGE("this CPU has no tile registers for bytes: their instructions themselves were not run");
    }
}
#endif

TEST_CASE("the shapes are 64 bytes, as the instruction reads them") {
    CHECK(sizeof(TileShapes) == 64);
    CHECK(offsetof(TileShapes, row_bytes) == 16);
    CHECK(offsetof(TileShapes, rows) == 48);
}

#endif
