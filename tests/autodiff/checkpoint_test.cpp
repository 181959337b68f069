#include <doctest/doctest.h>

#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"

#include "gradient_check.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Matrix = Tensor<Tape, Shape<3, 4>, double>;
using Vector = Tensor<Tape, Shape<4>, double>;

template <class T>
T random_leaf(const Extents& extents, std::uint32_t seed) {
    return leaf(T(Tape::constant(random_handle(extents, seed))));
}

/// Runs `f(x, y, weight, wrap)` plain and with checkpoints and compares the loss and all gradients.
template <class F>
void compare(F f) {
    std::vector<std::vector<double>> results[2];
    for (const bool checkpointed : {false, true}) {
        const auto x = random_leaf<Matrix>({3, 4}, 91);
        const auto y = random_leaf<Matrix>({3, 4}, 92);
        const auto weight = random_leaf<Vector>({4}, 93);
        const auto wrap = [&](auto g, const auto&... inputs) {
            if (checkpointed) {
                return checkpoint(g, inputs...);
            }
            return g(inputs...);
        };
        const auto loss = f(x, y, weight, wrap);
        backward(loss);
        auto& out = results[checkpointed ? 1 : 0];
        out.push_back(loss.to_host());
        out.push_back(gradient_of(x.handle()));
        out.push_back(gradient_of(y.handle()));
        out.push_back(gradient_of(weight.handle()));
    }
    CHECK((results[0] == results[1]));
}

}  // namespace

TEST_CASE("a checkpoint gives the same values and gradients, also of captured parameters") {
    compare([](const auto& x, const auto& y, const auto& weight, auto wrap) {
        const auto block = [&](const Matrix& a, const Matrix& b) { return tanh(a * b + weight) * a; };
        return sum(square(wrap(block, square(x), y)));
    });
}

TEST_CASE("a checkpoint with a pair of results") {
    compare([](const auto& x, const auto& y, const auto& weight, auto wrap) {
        const auto block = [&](const Matrix& a, const Matrix& b) {
            return std::pair{Matrix(exp(a) * weight), Matrix(a * b)};
        };
        const auto both = wrap(block, x, y);
        return sum(both.first * both.second);
    });
    compare([](const auto& x, const auto& y, const auto& weight, auto wrap) {  // the second result is not used
        const auto block = [&](const Matrix& a, const Matrix& b) {
            return std::pair{Matrix(exp(a) * weight), Matrix(a * b)};
        };
        return sum(wrap(block, x, y).first);
    });
}

TEST_CASE("checkpoints inside checkpoints and after one another") {
    compare([](const auto& x, const auto& y, const auto& weight, auto wrap) {
        const auto inner = [&weight](const Matrix& a) { return Matrix(sigmoid(a * weight)); };
        const auto outer = [inner, wrap](const Matrix& a, const Matrix& b) {
            return Matrix(wrap(inner, a + b) * wrap(inner, a));
        };
        Matrix h = x;
        for (int i = 0; i < 3; ++i) {
            h = wrap(outer, h, y);
        }
        return sum(square(h));
    });
}

TEST_CASE("checkpoints whose inputs repeat, pass through or are not tracked") {
    compare([](const auto& x, const auto&, const auto& weight, auto wrap) {
        const auto block = [&](const Matrix& a, const Matrix& b) { return Matrix(a * b * weight); };
        return sum(wrap(block, x, x));
    });
    compare([](const auto& x, const auto& y, const auto&, auto wrap) {
        const auto block = [](const Matrix& a, const Matrix& b) { return std::pair{a, Matrix(b * 2.0)}; };
        const auto both = wrap(block, x, y);
        return sum(both.first * both.second);
    });
    compare([](const auto& x, const auto&, const auto& weight, auto wrap) {
        const auto block = [&](const Matrix& a) { return Matrix(sin(a) * weight); };
        return sum(wrap(block, detach(x)));
    });
    compare([](const auto& x, const auto&, const auto&, auto wrap) {
        const auto block = [](const Matrix& a) { return Matrix(sin(a)); };
        return sum(wrap(block, detach(x)) * x);
    });
}

TEST_CASE("random numbers inside a checkpoint are drawn again") {
    compare([](const auto& x, const auto&, const auto&, auto wrap) {
        const auto block = [](const Matrix& a) { return Matrix(a * Matrix::normal({3, 4}, 5, 100)); };
        return sum(square(wrap(block, x)));
    });
}

TEST_CASE("a checkpoint runs its function once forward and once backward and keeps no interior") {
    int calls = 0;
    std::weak_ptr<std::byte> interior;
    const auto x = random_leaf<Matrix>({3, 4}, 94);
    const auto block = [&](const Matrix& a) {
        ++calls;
        const Matrix inside = exp(a);
        interior = inside.handle().value.storage;
        return Matrix(square(inside));
    };
    const auto loss = sum(checkpoint(block, x));
    CHECK(calls == 1);
    CHECK(interior.expired());
    backward(loss);
    CHECK(calls == 2);
    CHECK(interior.expired());
    CHECK_THROWS_AS(backward(loss), Error);
    CHECK(calls == 2);
}

TEST_CASE("gradients through a checkpoint against central differences") {
    check_gradient("checkpoint",
                   [](const auto& v) {
                       using T = Tensor<Tape, Shape<dyn, dyn>, double>;
                       const auto block = [](const T& a, const T& b) { return T(tanh(a) * b); };
                       return checkpoint(block, T(v[0]), T(v[1])).handle();
                   },
                   {random_handle({2, 3}, 95), random_handle({2, 3}, 96)});
}

TEST_CASE("on a backend without tape a checkpoint just calls its function") {
    int calls = 0;
    using Plain64 = Tensor<Reference, Shape<2>, double>;
    const auto twice = [&](const Plain64& a) {
        ++calls;
        return a * 2.0;
    };
    CHECK((checkpoint(twice, Plain64::full({2}, 3.0)).to_host() == std::vector{6.0, 6.0}));
    CHECK(calls == 1);
}
