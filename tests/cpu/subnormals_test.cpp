#include "flowfar/backend/cpu/runtime/subnormals.hpp"

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <limits>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/backend/reference.hpp"
#include "flowfar/quantize/lfq.hpp"

using namespace flowfar;
using cpu::FlushSubnormals;
using cpu::parallel_for;

namespace {

template <class B>
Index count_subnormals(const Handle& h) {
    std::vector<float> values(static_cast<std::size_t>(h.count()));
    B::to_host(h, values.data());
    return std::count_if(values.begin(), values.end(),
                         [](float value) { return std::fpclassify(value) == FP_SUBNORMAL; });
}

/// Whether this thread's own arithmetic gives subnormal numbers.
bool keeps_subnormals() {
    const volatile float small = std::numeric_limits<float>::min();
    const volatile float half = small * 0.5F;
    return std::fpclassify(half) == FP_SUBNORMAL;
}

constexpr Index few = 3;                // the caller computes so many
constexpr Index many = Index{1} << 18;  // and the pool so many

template <class B>
Handle filled(Index count, double value) {
    return B::full({count}, DType::f32, value);
}

/// Results of backend B that IEEE arithmetic makes subnormal.
template <class B>
std::vector<Handle> subnormal_results(Index count) {
    const Handle small = filled<B>(count, 1e-30);
    const Handle smaller = filled<B>(count, 1e-39);
    const Handle row = B::full({2, count}, DType::f32, 0.0);
    B::assign(B::slice(row, 1, 0, 1), B::full({2, 1}, DType::f32, 95.0));  // softmax of the others: e^-95
    const Handle average = filled<B>(count, 2e-38);
    B::lerp(average, filled<B>(count, 0.0), 0.9);
    const Handle gradient = filled<B>(count, 1e-19);
    const Handle parameter = filled<B>(count, 1.0);
    const Handle first = filled<B>(count, 0.0);
    const Handle second = filled<B>(count, 0.0);
    B::adam_step(parameter, gradient, first, second, {});
    const Index side = count > 1000 ? 96 : 3;
    const auto square = [side](double value) { return B::full({side, side}, DType::f32, value); };
    return {B::binary(BinaryOp::mul, small, filled<B>(count, 1e-10)),
            B::binary(BinaryOp::add, smaller, smaller),
            B::unary({UnaryOp::exp}, filled<B>(count, -95.0)),
            B::reduce(ReduceOp::sum, B::reshape(smaller, {1, count}), Axes::only(0), ReducedAxes::drop),
            B::softmax(row),
            B::gemm(square(1e-20), square(1e-20), {}, {}),
            average,
            second};
}

bool flushes() {
#if defined(__x86_64__) || defined(__aarch64__)
    return true;
#else
    return false;
#endif
}

}  // namespace

TEST_CASE("operations on f32 give zero instead of subnormal numbers, for any size and number of threads") {
    const int before = Cpu::threads();
    for (const Index count : {few, many}) {
        for (const Handle& result : subnormal_results<Reference>(few)) {
            CHECK(count_subnormals<Reference>(result) > 0);
        }
        for (const int threads : {1, 2, 3}) {
            Cpu::set_threads(threads);
            int operation = 0;
            for (const Handle& result : subnormal_results<Cpu>(count)) {
                CAPTURE(operation++);
                CHECK((count_subnormals<Cpu>(result) == 0) == flushes());
            }
        }
    }
    Cpu::set_threads(before);
    CHECK(keeps_subnormals());
}

TEST_CASE("the gradient of entropies of saturated codes has no subnormal numbers") {
    const auto run = []<class B>() {
        using Code = Tensor<Autodiff<B>, Shape<dyn, dyn, 12>>;
        const auto code = leaf(Code::normal({1, 64, 12}, 1));
        const auto loss = Lfq<12>::loss(code);
        backward(loss.sample_entropy - loss.codebook_entropy);
        return count_subnormals<B>(gradient(code).handle());
    };
    CHECK(run.operator()<Reference>() > 0);
    CHECK((run.operator()<Cpu>() == 0) == flushes());
}

TEST_CASE("a thread's own mode is as before after an operation, a loop and an exception") {
    CHECK(keeps_subnormals());
    const Handle x = filled<Cpu>(many, 1e-30);
    static_cast<void>(Cpu::binary(BinaryOp::mul, x, x));
    CHECK(keeps_subnormals());
    CHECK_THROWS_AS(static_cast<void>(Cpu::binary(BinaryOp::mul, x, filled<Cpu>(few, 1.0))), Error);
    CHECK(keeps_subnormals());
    for (const Index count : {Index{1}, Index{64}}) {
        CHECK_THROWS_AS(parallel_for(count, 1, [](Index, Index) { throw std::runtime_error("stop"); }),
                        std::runtime_error);
        CHECK(keeps_subnormals());
        std::vector<int> kept(static_cast<std::size_t>(count));
        parallel_for(count, 1, [&](Index begin, Index end) {
            for (Index i = begin; i < end; ++i) {
                kept[static_cast<std::size_t>(i)] = keeps_subnormals() ? 1 : 0;
            }
        });
        CHECK(std::count(kept.begin(), kept.end(), 1) == (flushes() ? 0 : count));
    }
    {
        const FlushSubnormals user;
        CHECK(FlushSubnormals::active() == flushes());
        static_cast<void>(Cpu::binary(BinaryOp::mul, x, x));
        CHECK(FlushSubnormals::active() == flushes());
    }
    CHECK(keeps_subnormals());
}

TEST_CASE("threads of the user compute alike, while the pool is busy too, and keep their mode") {
    const Handle x = filled<Cpu>(many, 1e-30);
    std::vector<Index> found(4, -1);
    std::vector<int> kept(4, 0);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < found.size(); ++i) {
        threads.emplace_back([&, i] {
            found[i] = count_subnormals<Cpu>(Cpu::binary(BinaryOp::mul, x, filled<Cpu>(many, 1e-10)));
            kept[i] = keeps_subnormals() ? 1 : 0;
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK((found == std::vector<Index>(4, flushes() ? 0 : many)));
    CHECK((kept == std::vector<int>(4, 1)));
}

TEST_CASE("the reference backend keeps subnormal numbers, also of f64 tensors on the CPU backend") {
    const Handle x = Cpu::full({few}, DType::f64, 1e-300);
    const Handle y = Cpu::binary(BinaryOp::mul, x, Cpu::full({few}, DType::f64, 1e-10));
    std::vector<double> values(static_cast<std::size_t>(few));
    Cpu::to_host(y, values.data());
    CHECK(std::all_of(values.begin(), values.end(), [](double v) { return std::fpclassify(v) == FP_SUBNORMAL; }));
}
