// The kernels for tile registers, with the tile instructions computed in C++ on whatever CPU this is, and with the
// instructions themselves where the CPU has them.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <doctest/doctest.h>
#include <random>
#include <vector>

#include "flowfar/backend/cpu/kernels/gemm/amx_block.hpp"
#include "flowfar/backend/cpu/kernels/gemm/bf16_rows.hpp"
#include "flowfar/backend/cpu/kernels/gemm/int8_kernel.hpp"

#include "emulated_tiles.hpp"

#if defined(FLOWFAR_AVX512_BF16) && defined(__linux__)

using namespace flowfar;
using namespace flowfar::cpu::bf16_product;
using flowfar::cpu::View;
using flowfar::testing::EmulatedTiles;
using flowfar::testing::TileCounts;

namespace {

constexpr unsigned seed = 17;

std::vector<float> draw(std::mt19937& engine, Index count) {
    std::vector<float> out(static_cast<std::size_t>(count));
    for (float& x : out) {
        x = static_cast<float>(bf16(std::uniform_real_distribution<float>(-1.0F, 1.0F)(engine)));
    }
    return out;
}

/// Packed operands of a product [rows, inner] × [inner, columns].
struct Packed {
    std::vector<float> a;
    std::vector<float> b;
    std::vector<Pair> left;
    std::vector<Pair> panels;
    Index words;
    TilePart part;

    Packed(std::mt19937& engine, Index rows, Index inner, Index columns)
        : a(draw(engine, rows * inner)),
          b(draw(engine, inner * columns)),
          left(static_cast<std::size_t>(padded_rows(rows) * left_stride(pair_count(inner)))),
          panels(static_cast<std::size_t>(panel_count(columns) * panel_words(pair_count(inner))), 0x7FC07FC0U),  // NaN
          words(padded(pair_count(inner))) {
        const Index size = panel_words(pair_count(inner));
        pack_left(View<float>{a.data(), inner, true}, rows, inner, left.data());
        for (Index panel = 0; panel < panel_count(columns); ++panel) {
            pack_panel(View<float>{b.data(), columns, true}, panel * panel_columns, columns - panel * panel_columns,
                       inner, panels.data() + panel * size);
        }
        part = {left.data(), left_stride(pair_count(inner)), rows, panels.data(), size, 0, panel_count(columns), words};
    }

    /// The product of all rows and whole panels, [rows][panels × 32]; each element must be finished once.
    template <class Tiles>
    [[nodiscard]] std::vector<float> product() const {
        const Index width = part.last_panel * panel_columns;
        std::vector<float> out(static_cast<std::size_t>(part.rows * width));
        std::vector<int> times(out.size());
        const auto room = static_cast<std::size_t>(TileBlocks(words).scratch(part.rows, words));
        std::vector<float> scratch(room, std::nanf(""));
        multiply_part<Tiles>(part, scratch.data(), [&](const float* sums, Index row, Index rows, Index panel) {
            for (Index i = 0; i < rows * panel_columns; ++i) {
                const Index at = (row + i / panel_columns) * width + panel * panel_columns + i % panel_columns;
                out[static_cast<std::size_t>(at)] = sums[i];
                ++times[static_cast<std::size_t>(at)];
            }
        });
        CHECK(std::all_of(times.begin(), times.end(), [](int n) { return n == 1; }));
        return out;
    }
};

/// Whether two products have the same bits.
bool equal_bits(const std::vector<float>& x, const std::vector<float>& y) {
    return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
}

}  // namespace

TEST_CASE("tiles give the product of what was packed") {
    if (!cpu::has_avx512_bf16()) {
        MESSAGE("this CPU cannot pack bf16 operands: nothing to compare");
        return;
    }
    std::mt19937 engine(seed);
    for (const Index rows : {1, 15, 16, 17, 32}) {
        for (const Index inner : {1, 31, 32, 33, 100}) {
            for (const Index columns : {1, 16, 31, 32}) {
                for (const bool add : {false, true}) {
                    CAPTURE(seed);
                    CAPTURE(rows);
                    CAPTURE(inner);
                    CAPTURE(columns);
                    const Index pairs = pair_count(inner);
                    const auto a = draw(engine, rows * inner);
                    const auto b = draw(engine, inner * columns);
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
}

TEST_CASE("a part of a product is the product whatever its blocks, and the CPU's tiles give the emulation's bits") {
    if (!cpu::has_avx512_bf16()) {
        MESSAGE("this CPU cannot pack bf16 operands: nothing to compare");
        return;
    }
    std::mt19937 engine(seed);
    struct Shape {
        Index rows;
        Index inner;
        Index columns;
    };
    // One chunk, two, and two passes; rows of one tile and of two; panels of one block and of two; remainders of all.
    for (const Shape& shape : {Shape{1, 40, 32}, Shape{33, 96, 70}, Shape{80, 768, 33}, Shape{17, 1152, 420},
                               Shape{64, 1300, 64}, Shape{49, 2600, 40}}) {
        CAPTURE(shape.rows);
        CAPTURE(shape.inner);
        CAPTURE(shape.columns);
        const Packed packed(engine, shape.rows, shape.inner, shape.columns);
        const std::vector<float> found = packed.product<EmulatedTiles>();
        const Index width = packed.part.last_panel * panel_columns;
        double worst = 0.0;
        for (Index m = 0; m < shape.rows; ++m) {
            for (Index n = 0; n < width; ++n) {
                double expected = 0.0;
                for (Index k = 0; n < shape.columns && k < shape.inner; ++k) {
                    expected += static_cast<double>(packed.a[static_cast<std::size_t>(m * shape.inner + k)]) *
                                static_cast<double>(packed.b[static_cast<std::size_t>(k * shape.columns + n)]);
                }
                const auto element = static_cast<double>(found[static_cast<std::size_t>(m * width + n)]);
                worst = std::max(worst, std::isfinite(element) ? std::abs(element - expected) : 1e9);
            }
        }
        CHECK(worst < 1e-4);
        // A row alone, as the first of a part of its own, has the bits that it has among the others.
        Packed alone = packed;
        alone.part.left = packed.left.data() + (shape.rows - 1) * packed.part.stride;
        alone.part.rows = 1;
        std::vector<Pair> last(static_cast<std::size_t>(padded_rows(1) * packed.part.stride));
        std::copy_n(alone.part.left, packed.part.stride, last.data());
        alone.part.left = last.data();
        alone.part.panels = packed.panels.data();
        CHECK(equal_bits(alone.product<EmulatedTiles>(),
                         {found.end() - static_cast<std::ptrdiff_t>(width), found.end()}));
        if (AmxTiles::available()) {
            const TileScope scope;
            CHECK(equal_bits(packed.product<AmxTiles>(), found));
        }
    }
    if (!AmxTiles::available()) {
        MESSAGE("NOT RUN: this CPU has no tile registers, so their instructions themselves were not compared");
    }
}

TEST_CASE("what a part of a product loads and stores") {
    if (!cpu::has_avx512_bf16()) {
        MESSAGE("this CPU cannot pack bf16 operands: nothing to count");
        return;
    }
    std::mt19937 engine(seed);
    const auto count = [&](Index rows, Index inner, Index columns) {
        const Packed packed(engine, rows, inner, columns);
        EmulatedTiles::counts = {};
        static_cast<void>(packed.product<EmulatedTiles>());
        return EmulatedTiles::counts;
    };
    // Four products for four loads; sums leave the registers once for every 640 elements of the inner extent.
    const auto two_chunks = count(64, 1152, 96);
    constexpr Index blocks = 2 * 3;
    constexpr Index steps = blocks * 1152 / 32;
    CHECK(two_chunks.products == 4 * steps);
    CHECK(two_chunks.loads_once == 2 * steps);
    CHECK(two_chunks.loads == 2 * steps + 4 * blocks);
    CHECK(two_chunks.stores == 2 * 4 * blocks);
    const auto one_chunk = count(64, 640, 96);
    CHECK(one_chunk.products == 4 * blocks * 640 / 32);
    CHECK(one_chunk.loads == 2 * blocks * 640 / 32);
    CHECK(one_chunk.stores == 4 * blocks);
    // Up to 16 rows take one tile of each pair.
    const auto few_rows = count(16, 640, 32);
    CHECK(few_rows.products == 2 * 640 / 32);
    CHECK(few_rows.loads == 640 / 32);
    CHECK(few_rows.stores == 2);
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
                const auto a = draw(engine, rows * inner);
                const auto b = draw(engine, inner * columns);
                const Index stride = bytes::left_words(inner);
                std::vector<bytes::Quad> left(static_cast<std::size_t>(padded_rows(rows) * stride), 0x80808080U);
                std::vector<bytes::Quad> panel(static_cast<std::size_t>(bytes::panel_words(inner)), 0x80808080U);
                bytes::pack_left(View<float>{a.data(), inner, true}, rows, inner, left.data());
                bytes::pack_panel(View<float>{b.data(), columns, true}, 0, columns, inner, panel.data());
                constexpr Index ld = 37;
                std::vector<float> expected(static_cast<std::size_t>(rows * ld), 2.0F);
                const Index words = padded(bytes::quad_count(inner));
                const TilePart part{left.data(), stride, rows, panel.data(), bytes::panel_words(inner), 0, 1, words};
                std::vector<std::int32_t> scratch(static_cast<std::size_t>(TileBlocks(words).scratch(rows, words)));
                const auto product = [&]<class Tiles>(Tiles) {
                    std::vector<float> out(expected.size(), 2.0F);
                    multiply_part<Tiles>(
                        part, scratch.data(), [&](const std::int32_t* sums, Index row, Index count, Index) {
                            float line[2 * panel_columns];
                            bytes::to_floats(sums, count, left.data() + row * stride, panel.data(), inner, 0.5F, line);
                            for (Index i = 0; i < count; ++i) {
                                std::copy_n(line + i * panel_columns, columns, out.data() + (row + i) * ld);
                            }
                        });
                    return out;
                };
                for_tiles(rows, bytes::tiles, [&](Index row, auto tile) {
                    tile(left.data() + row * stride, stride, panel.data(), inner,
                         {expected.data() + row * ld, ld, columns, 0.5F});
                });
                CHECK(product(EmulatedTiles{}) == expected);
                if (AmxTiles::available_for_bytes()) {
                    const TileScope scope;
                    CHECK(product(AmxTiles{}) == expected);
                }
            }
        }
    }
    if (!AmxTiles::available_for_bytes()) {
        MESSAGE(
            "NOT RUN: this CPU has no tile registers for bytes, so their instructions themselves were not compared");
    }
}
#endif

TEST_CASE("the shapes are 64 bytes, as the instruction reads them") {
    CHECK(sizeof(TileShapes) == 64);
    CHECK(offsetof(TileShapes, row_bytes) == 16);
    CHECK(offsetof(TileShapes, rows) == 48);
}

#endif
