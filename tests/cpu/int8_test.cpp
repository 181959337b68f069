// Products with quantized operands (Int8Products): against the same integers multiplied in double, so that only the
// last roundings differ; and against f32, from which they must not be further than 8 bits allow.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"

#include "approx.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

Handle random(const Extents& extents, std::uint64_t seed) {
    return Cpu::normal(extents, DType::f32, seed, 0);
}
std::vector<double> values(const Handle& h) {
    const Handle f = Cpu::cast(h, DType::f64);
    std::vector<double> out(static_cast<std::size_t>(f.count()));
    Cpu::to_host(f, out.data());
    return out;
}
/// Rows of x rounded to multiples of their largest magnitude / 127.
Handle quantized(const Handle& x) {
    const Index columns = x.extents().back();
    std::vector<double> v = values(x);
    for (std::size_t row = 0; row < v.size(); row += static_cast<std::size_t>(columns)) {
        double most = 0.0;
        for (Index i = 0; i < columns; ++i) {
            most = std::max(most, std::abs(v[row + static_cast<std::size_t>(i)]));
        }
        const float factor = most > 0.0 ? 127.0F / static_cast<float>(most) : 0.0F;
        for (Index i = 0; i < columns; ++i) {
            double& value = v[row + static_cast<std::size_t>(i)];
            value = std::nearbyint(static_cast<float>(value) * factor) *
                    static_cast<double>(static_cast<float>(most) / 127.0F);
        }
    }
    return Cpu::cast(Cpu::from_host(v.data(), x.extents(), DType::f64), DType::f64);
}
Handle transposed(const Handle& h) {
    return Cpu::permute(h, {1, 0});
}
template <class F>
auto with_bytes(F&& f) {
    const Int8Products products;
    return f();
}
bool absent() {
    if (!Cpu::has_int8_products()) {
        MESSAGE("this CPU has no products of bytes: results are those of f32");
    }
    return !Cpu::has_int8_products();
}

}  // namespace

TEST_CASE("products are those of the quantized operands") {
    if (absent()) {
        return;
    }
    for (const Index rows : {1, 13, 14, 15, 115}) {
        for (const Index inner : {1, 3, 4, 63, 64, 65, 300}) {
            for (const Index columns : {1, 16, 33, 70}) {
                CAPTURE(rows);
                CAPTURE(inner);
                CAPTURE(columns);
                const Handle x = random({rows, inner}, 1);
                const Handle w = random({columns, inner}, 2);  // a row per output channel
                const Handle expected = Cpu::gemm(quantized(x), transposed(quantized(w)), {}, {.alpha = 0.5});
                const auto check = [&](const Handle& a, const Handle& b) {
                    const Handle found = with_bytes([&] { return Cpu::gemm(a, b, {}, {.alpha = 0.5}); });
                    CHECK(difference_of(values(found), values(expected), 1e-6) == "");
                };
                check(x, transposed(w));
                check(x, Cpu::contiguous(transposed(w)));
                check(transposed(Cpu::contiguous(transposed(x))), transposed(w));
            }
        }
    }
}

TEST_CASE("bias, activation and batches; eight bits are near enough") {
    const Handle x = random({2, 3, 9, 256}, 3);
    const Handle w = random({70, 256}, 4);
    const Handle bias = random({70}, 5);
    const auto product = [&] { return Cpu::gemm(x, transposed(w), bias, {.activation = Activation::silu}); };
    const double error = relative_l2(values(with_bytes(product)), values(product()));
    CHECK(error < 0.02);
    CHECK((absent() || error > 1e-4));              // it is another arithmetic
    const Handle many = random({2, 3, 256, 8}, 6);  // a matrix per batch is no weight
    const auto batched = [&] { return Cpu::gemm(x, many, {}, {}); };
    CHECK(values(with_bytes(batched)) == values(batched()));
}

TEST_CASE("quantized weights are kept, until they change, beside those of other kernels") {
    const Handle x = random({5, 64}, 7);
    const Handle w = random({40, 64}, 8);
    const auto bytes = [&] { return values(with_bytes([&] { return Cpu::gemm(x, transposed(w), {}, {}); })); };
    const auto rounded = [&] {
        const Bf16Products products;
        return values(Cpu::gemm(x, transposed(w), {}, {}));
    };
    for (int change = 0; change < 2; ++change) {
        const std::vector<double> first = bytes();
        const std::vector<double> other = rounded();
        for (int use = 0; use < 3; ++use) {
            CHECK(bytes() == first);
            CHECK(rounded() == other);
        }
        Cpu::assign(w, random({40, 64}, static_cast<std::uint64_t>(9 + change)));
        CHECK(bytes() != first);
    }
}

TEST_CASE("what is not finite stays so, row by row; zeros stay zeros") {
    std::vector<float> numbers(3 * 20, 1.0F);
    numbers[4] = std::numeric_limits<float>::quiet_NaN();
    numbers[25] = -std::numeric_limits<float>::infinity();
    const Handle x = Cpu::from_host(numbers.data(), {3, 20}, DType::f32);
    const Handle w = random({33, 20}, 10);
    const std::vector<double> found = values(with_bytes([&] { return Cpu::gemm(x, transposed(w), {}, {}); }));
    for (std::size_t i = 0; i < 33; ++i) {
        CHECK(!std::isfinite(found[i]));
        CHECK(!std::isfinite(found[33 + i]));
        CHECK(std::isfinite(found[66 + i]));
    }
    const Handle zero = Cpu::full({2, 20}, DType::f32, 0.0);
    CHECK(values(with_bytes([&] { return Cpu::gemm(zero, transposed(w), {}, {}); })) == std::vector<double>(66, 0.0));
}
