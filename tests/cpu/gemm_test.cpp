#include "suites/gemm.hpp"

#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/backend/cpu/kernels/gemm/gemm.hpp"

#include "instruction_sets.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Matrix = std::vector<float>;

constexpr unsigned seed = 311;
constexpr float poison = std::numeric_limits<float>::quiet_NaN();
constexpr float sentinel = -77.0F;

[[nodiscard]] std::size_t at(Index i) {
    return static_cast<std::size_t>(i);
}

[[nodiscard]] Matrix draw(std::mt19937& engine, Index count) {
    Matrix values(at(count));
    for (float& value : values) {
        value = std::uniform_real_distribution<float>(-1.0F, 1.0F)(engine);
    }
    return values;
}

/// Two random factors, each row by row or column by column, with unused elements between their rows.
struct Factors {
    Factors(std::mt19937& engine, bool a_rows, bool b_rows, Index m, Index k, Index n)
        : rows(m),
          inner(k),
          columns(n),
          lda((a_rows ? k : m) + 3),
          ldb((b_rows ? n : k) + 2),
          left(draw(engine, (a_rows ? m : k) * lda - 3)),
          right(draw(engine, (b_rows ? k : n) * ldb - 2)),
          a{left.data(), lda, a_rows},
          b{right.data(), ldb, b_rows},
          name(text("seed ", seed, ": [", m, ", ", k, "] by ", a_rows ? "rows" : "columns", " times [", k, ", ", n,
                    "] by ", b_rows ? "rows" : "columns")) {}

    /// The factor a from this row on.
    [[nodiscard]] cpu::MatrixView from_row(Index row) const {
        return {a.data + row * (a.row_major ? lda : 1), lda, a.row_major};
    }
    [[nodiscard]] double exact(Index row, Index column) const {
        double sum = 0.0;
        for (Index k = 0; k < inner; ++k) {
            sum += static_cast<double>(left[at(a.row_major ? row * lda + k : k * lda + row)]) *
                   static_cast<double>(right[at(b.row_major ? k * ldb + column : column * ldb + k)]);
        }
        return sum;
    }
    [[nodiscard]] Matrix product(float alpha = 1.0F) const {
        Matrix c(at(rows * columns), poison);
        cpu::multiply(a, b, c.data(), columns, rows, inner, columns, alpha);
        return c;
    }

    Index rows;
    Index inner;
    Index columns;
    Index lda;
    Index ldb;
    Matrix left;
    Matrix right;
    cpu::MatrixView a;
    cpu::MatrixView b;
    std::string name;
};

[[nodiscard]] bool same_bits(const float* x, const float* y, Index count) {
    return std::memcmp(x, y, at(count) * sizeof(float)) == 0;
}

template <class F>
void for_all_layouts(F&& f) {
    for (const bool a_rows : {true, false}) {
        for (const bool b_rows : {true, false}) {
            f(a_rows, b_rows);
        }
    }
}

/// All layouts with all instruction sets.
template <class F>
void for_every_kernel(F&& f) {
    for_all_instruction_sets([&] { for_all_layouts(f); });
}

/// Whether products of the last 1, 2, … rows of a have the bits of the whole product and write nothing else.
[[nodiscard]] bool rows_agree(const Factors& f, float alpha) {
    const Matrix whole = f.product(alpha);
    const Index ldc = f.columns + 5;
    bool agree = true;
    for (Index rows = 1; rows <= f.rows; rows += rows > 17 && f.inner > 96 ? 9 : 1) {
        const Index first = f.rows - rows;
        Matrix c(at(rows * ldc), sentinel);
        for (Index i = 0; i < rows; ++i) {
            std::fill_n(c.data() + i * ldc, f.columns, poison);
        }
        cpu::multiply(f.from_row(first), f.b, c.data(), ldc, rows, f.inner, f.columns, alpha);
        for (Index i = 0; i < rows; ++i) {
            const float* const row = c.data() + i * ldc;
            agree = agree && same_bits(row, whole.data() + (first + i) * f.columns, f.columns) &&
                    std::all_of(row + f.columns, row + ldc, [](float value) { return value == sentinel; });
        }
    }
    return agree;
}

}  // namespace

TEST_CASE("cpu: matrix products of all storages and sizes") {
    for_all_instruction_sets([] { check_gemm_storage<Cpu>(DType::f32); });
    check_gemm_storage<Cpu>(DType::bf16);
}
TEST_CASE("cpu: batched matrix products") {
    for_all_instruction_sets([] { check_gemm_batches<Cpu>(DType::f32); });
    check_gemm_batches<Cpu>(DType::bf16);
    check_gemm_batches<Cpu>(DType::f64);
}
TEST_CASE("cpu: products added to something, through a gate") {
    check_gemm_add<Cpu>(DType::f32);
    check_gemm_add<Cpu>(DType::bf16);
    check_gemm_add<Cpu>(DType::f64);
}
TEST_CASE("cpu: bias, activation and alpha") {
    for_all_instruction_sets([] { check_gemm_options<Cpu>(DType::f32); });
    check_gemm_options<Cpu>(DType::bf16);
}
TEST_CASE("cpu: any number of threads multiplies correctly") {
    const int before = Cpu::threads();
    for (const int threads : {1, 3}) {
        Cpu::set_threads(threads);
        check_gemm_batches<Cpu>(DType::f32);
    }
    Cpu::set_threads(before);
}

TEST_CASE("cpu: a row of a product does not depend on the other rows") {
    std::mt19937 engine(seed);
    for_every_kernel([&](bool a_rows, bool b_rows) {
        for (const Index inner : {1, 7, 96, 385, 1000}) {
            for (const Index columns : {1, 5, 16, 33, 96, 384}) {
                const Factors f(engine, a_rows, b_rows, 70, inner, columns);
                CHECK_MESSAGE(rows_agree(f, 1.0F), f.name);
                double worst = 0.0;
                const Matrix c = f.product();
                for (Index row = 0; row < f.rows; row += 23) {
                    for (Index column = 0; column < columns; ++column) {
                        worst = std::max(
                            worst, std::abs(static_cast<double>(c[at(row * columns + column)]) - f.exact(row, column)));
                    }
                }
                CHECK_MESSAGE(worst <= 1e-6 * std::sqrt(static_cast<double>(inner)) + 1e-7, f.name);
            }
        }
    });
}

TEST_CASE("cpu: a column of a product does not depend on the other columns") {
    std::mt19937 engine(seed);
    for_every_kernel([&](bool a_rows, bool b_rows) {
        const Factors f(engine, a_rows, b_rows, 9, 450, 70);
        const Matrix whole = f.product();
        for (Index first = 0; first < f.columns; ++first) {
            const Index columns = f.columns - first;
            Matrix c(at(f.rows * columns), poison);
            const cpu::MatrixView b{f.b.data + first * (b_rows ? 1 : f.ldb), f.ldb, b_rows};
            cpu::multiply(f.a, b, c.data(), columns, f.rows, f.inner, columns, 1.0F);
            for (Index i = 0; i < f.rows; ++i) {
                CHECK_MESSAGE(same_bits(c.data() + i * columns, whole.data() + i * f.columns + first, columns), f.name);
            }
        }
    });
}

TEST_CASE("cpu: the bits of a product do not depend on the number of threads") {
    std::mt19937 engine(seed);
    const int before = cpu::ThreadPool::instance().threads();
    for_every_kernel([&](bool a_rows, bool b_rows) {
        for (const std::array<Index, 3> shape : {std::array<Index, 3>{1, 768, 3072},
                                                 {4, 700, 1000},
                                                 {2000, 96, 50},
                                                 {96, 4608, 100},
                                                 {40, 3000, 31},
                                                 {333, 400, 535}}) {
            const Factors f(engine, a_rows, b_rows, shape[0], shape[1], shape[2]);
            const Matrix alone = f.product(0.3F);
            for (const int threads : {1, 2, 3, 7}) {
                cpu::ThreadPool::instance().set_threads(threads);
                Matrix c(alone.size(), poison);
                cpu::multiply_parallel(f.a, f.b, c.data(), f.rows, f.inner, f.columns, 0.3F);
                CHECK_MESSAGE(same_bits(c.data(), alone.data(), f.rows * f.columns), f.name, ", threads ", threads);
            }
        }
    });
    cpu::ThreadPool::instance().set_threads(before);
}

TEST_CASE("cpu: products scale and accumulate") {
    std::mt19937 engine(seed);
    for_every_kernel([&](bool a_rows, bool b_rows) {
        const Factors short_chain(engine, a_rows, b_rows, 31, 100, 45);
        const Matrix c0 = draw(engine, 31 * 45);
        Matrix c = c0;
        cpu::multiply(short_chain.a, short_chain.b, c.data(), 45, 31, 100, 45, 1.0F, true);
        const Matrix product = short_chain.product();
        for (std::size_t i = 0; i < c.size(); ++i) {
            CHECK(c[i] == c0[i] + product[i]);
        }

        const Factors f(engine, a_rows, b_rows, 31, 900, 45);
        c = c0;
        cpu::multiply(f.a, f.b, c.data(), 45, 31, 900, 45, -0.375F, true);
        const Matrix scaled = f.product(-0.375F);
        for (Index i = 0; i < 31 * 45; ++i) {
            const double expected = -0.375 * f.exact(i / 45, i % 45);
            CHECK_MESSAGE(scaled[at(i)] == doctest::Approx(expected).epsilon(1e-4).scale(1.0), f.name);
            CHECK_MESSAGE(
                c[at(i)] == doctest::Approx(expected + static_cast<double>(c0[at(i)])).epsilon(1e-4).scale(1.0),
                f.name);
        }
        CHECK(rows_agree(f, -0.375F));

        Matrix kept = c0;
        cpu::multiply(f.a, f.b, kept.data(), 45, 31, 0, 45, 1.0F, true);
        CHECK(same_bits(kept.data(), c0.data(), 31 * 45));
        cpu::multiply(f.a, f.b, kept.data(), 45, 31, 0, 45, 1.0F);
        CHECK(std::all_of(kept.begin(), kept.end(), [](float value) { return value == 0.0F; }));
    });
}

TEST_CASE("cpu: all instruction sets with fused multiply-adds give the same bits") {
    std::mt19937 engine(seed);
    for_all_layouts([&](bool a_rows, bool b_rows) {
        for (const Index rows : {1, 3, 8, 29, 61}) {
            const Factors f(engine, a_rows, b_rows, rows, 395 + rows, 150 - rows);
            const Matrix widest = f.product(0.7F);
            for_all_instruction_sets([&] {
                if (cpu::instruction_set() != cpu::InstructionSet::portable) {
                    const Matrix c = f.product(0.7F);
                    CHECK_MESSAGE(same_bits(c.data(), widest.data(), f.rows * f.columns), f.name);
                }
            });
        }
    });
}

TEST_CASE("cpu: tests can do without the wider instructions") {
    const cpu::InstructionSet widest = cpu::widest_instruction_set();
    CHECK(cpu::instruction_set() == widest);
    {
        const cpu::NarrowerInstructions some(cpu::InstructionSet::avx2);
        CHECK(cpu::instruction_set() == std::min(widest, cpu::InstructionSet::avx2));
        CHECK_FALSE(Cpu::has_bf16_products());
        {
            const cpu::NarrowerInstructions fewest(cpu::InstructionSet::portable);
            CHECK(cpu::instruction_set() == cpu::narrowest_instruction_set);
        }
        CHECK(cpu::instruction_set() == std::min(widest, cpu::InstructionSet::avx2));
        const cpu::NarrowerInstructions none_added(cpu::InstructionSet::avx512);
        CHECK(cpu::instruction_set() == widest);
    }
    CHECK(cpu::instruction_set() == widest);
}
