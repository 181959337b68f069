#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/backend/cpu/kernels/rows/vector_forms.hpp"

#include "instruction_sets.hpp"
#include "suites/attention.hpp"
#include "suites/elementwise.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Numbers = std::vector<float>;

constexpr unsigned seed = 1733;
constexpr float infinite = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float sentinel = -77.0F;

/// Numbers of all magnitudes below `most`, and those next to where exp changes its kind.
[[nodiscard]] Numbers draw(std::size_t count, double most) {
    std::mt19937 engine(seed);
    Numbers x{0.0F, -0.0F, 1.0F, -1.0F, 88.7228317F, -87.3365402F, 1e-30F, -1e-30F};
    while (x.size() < count) {
        const double size = std::exp(std::uniform_real_distribution<>(-12.0, std::log(most))(engine));
        x.push_back(static_cast<float>(engine() % 2 == 0 ? size : -size));
    }
    return x;
}

template <UnaryOp Op>
[[nodiscard]] Numbers apply(const Numbers& x) {
    Numbers y(x.size());
    cpu::vector_forward<Op>(x.data(), y.data(), static_cast<Index>(x.size()));
    return y;
}

[[nodiscard]] bool same_bits(const float* x, const float* y, std::size_t count) {
    return std::memcmp(x, y, count * sizeof(float)) == 0;
}

/// The largest error relative to what is expected; absolute below 1e-30.
template <UnaryOp Op>
[[nodiscard]] double worst(const Numbers& x, double (*expected)(double)) {
    const Numbers y = apply<Op>(x);
    double error = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        const double exact = expected(static_cast<double>(x[i]));
        error = std::max(error, std::abs(static_cast<double>(y[i]) - exact) / std::max(std::abs(exact), 1e-30));
    }
    return error;
}

/// f.operator()<Op>() for the functions with an exponential inside.
template <class F>
void for_all_functions(F&& f) {
    f.template operator()<UnaryOp::exp>();
    f.template operator()<UnaryOp::sigmoid>();
    f.template operator()<UnaryOp::silu>();
    f.template operator()<UnaryOp::gelu_tanh>();
    f.template operator()<UnaryOp::gelu_erf>();
}

}  // namespace

TEST_CASE("cpu: functions with an exponential inside, with all instruction sets") {
    const auto sigmoid = [](double x) { return 1.0 / (1.0 + std::exp(-x)); };
    for_all_instruction_sets([&] {
        CHECK(worst<UnaryOp::exp>(draw(20000, 87.0), [](double x) { return std::exp(x); }) < 2e-7);
        CHECK(worst<UnaryOp::sigmoid>(draw(20000, 60.0), sigmoid) < 4e-7);
        CHECK(worst<UnaryOp::silu>(draw(20000, 60.0), [](double x) { return x / (1.0 + std::exp(-x)); }) < 4e-7);
        // Towards the left tail the exponent is large, and with it its rounding error.
        CHECK(worst<UnaryOp::gelu_tanh>(draw(20000, 3.0), [](double x) {
                  return x / (1.0 + std::exp(-std::sqrt(8.0 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
              }) < 3e-6);
        CHECK(worst<UnaryOp::gelu_erf>(draw(20000, 3.0),
                                       [](double x) { return 0.5 * x * std::erfc(-x * std::sqrt(0.5)); }) < 3e-6);
        check_unary<Cpu>(DType::f32);
        check_unary_backward<Cpu>(DType::f32);
    });
}

TEST_CASE("cpu: exponentials of extreme numbers") {
    for_all_instruction_sets([] {
        const Numbers y = apply<UnaryOp::exp>({infinite, 89.0F, 1e30F, -infinite, -104.0F, -1e30F, not_a_number});
        if (cpu::instruction_set() != cpu::InstructionSet::portable) {
            CHECK(y[0] == infinite);
            CHECK(y[1] == infinite);
            CHECK(y[2] == infinite);
            CHECK(y[3] == 0.0F);
        }
        CHECK(y[4] < 2e-38F);
        CHECK(y[5] < 2e-38F);
        CHECK(std::isnan(y[6]));
        CHECK(apply<UnaryOp::sigmoid>({200.0F})[0] == 1.0F);
        CHECK(std::abs(apply<UnaryOp::silu>({-200.0F})[0]) < 1e-30F);
        CHECK(apply<UnaryOp::gelu_tanh>({200.0F})[0] == 200.0F);
        CHECK(apply<UnaryOp::gelu_erf>({200.0F})[0] == 200.0F);
    });
}

TEST_CASE("cpu: the bits of an exponential depend neither on its place nor on the width of the instructions") {
    const Numbers x = draw(150, 20.0);
    for_all_functions([&]<UnaryOp Op>() {
        const Numbers widest = apply<Op>(x);
        for_all_instruction_sets([&] {
            const Numbers whole = apply<Op>(x);
            if (cpu::instruction_set() != cpu::InstructionSet::portable) {
                CHECK(same_bits(whole.data(), widest.data(), x.size()));
            }
            for (std::size_t count = 1; count < x.size(); count += count < 40 ? 1 : 13) {
                const std::size_t first = x.size() - count;
                Numbers y(count + 20, sentinel);
                cpu::vector_forward<Op>(x.data() + first, y.data(), static_cast<Index>(count));
                CHECK(same_bits(y.data(), whole.data() + first, count));
                CHECK(std::all_of(y.begin() + static_cast<std::ptrdiff_t>(count), y.end(),
                                  [](float value) { return value == sentinel; }));
            }
        });
    });
}

TEST_CASE("cpu: rows of a softmax") {
    const Numbers x = draw(700, 20.0);
    std::vector<float> sums;
    for (std::size_t count = 1; count <= x.size(); count += count < 70 ? 1 : 63) {
        const auto n = static_cast<Index>(count);
        const float* const from = x.data() + x.size() - count;
        const float peak = *std::max_element(from, from + count);
        sums.clear();
        for_all_instruction_sets([&] {
            CHECK(cpu::row_peak(from, n) == peak);
            Numbers y(count + 20, sentinel);
            const float sum = cpu::exponentials(from, n, peak, y.data());
            double exact = 0.0;
            bool right = true;
            for (std::size_t i = 0; i < count; ++i) {
                const double expected = std::exp(static_cast<double>(from[i] - peak));
                exact += expected;
                right = right && std::abs(static_cast<double>(y[i]) - expected) <= 2e-7 * expected + 2e-38;
            }
            CHECK_MESSAGE(right, "seed ", seed, ", count ", count);
            CHECK(static_cast<double>(sum) == doctest::Approx(exact).epsilon(1e-6));
            CHECK(std::all_of(y.begin() + n, y.end(), [](float value) { return value == sentinel; }));
            if (cpu::instruction_set() != cpu::InstructionSet::portable) {
                sums.push_back(sum);
            }
        });
        for (const float sum : sums) {
            CHECK(sum == sums.front());
        }
    }
}

TEST_CASE("cpu: attention with all instruction sets") {
    for_all_instruction_sets([] {
        check_attention<Cpu>(DType::f32);
        check_attention_range<Cpu>();
    });
}
