#include <doctest/doctest.h>

#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"

#include "gradient_check.hpp"

using namespace flowfar;
using namespace flowfar::testing;

static_assert(Backend<Tape> && !PlainBackend<Tape>);

namespace {

using Scalar = Tensor<Tape, Shape<>, double>;
using Vector = Tensor<Tape, Shape<3>, double>;

Vector vector_of(double a, double b, double c) {
    return Vector::from_host(std::vector{a, b, c}, {3});
}

}  // namespace

TEST_CASE("a chain of 200,000 operations is differentiated and released") {
    const Scalar x = leaf(Scalar::full({}, 1.0));
    {
        Scalar y = x;
        for (int i = 0; i < 200'000; ++i) {
            y = y + 1e-6;
        }
        backward(y);
        CHECK(gradient(x).item() == 1.0);
        CHECK(y.item() == doctest::Approx(1.2));
    }
    Scalar unused = x;
    for (int i = 0; i < 200'000; ++i) {
        unused = unused * 1.0;
    }
    unused = x;  // releases a chain that no backward pass has consumed
    CHECK(x.handle().node.use_count() == 2);
}

TEST_CASE("a wide graph with shared subexpressions counts every path once") {
    const Scalar x = leaf(Scalar::full({}, 1.0));
    Scalar y = x;
    for (int i = 0; i < 30; ++i) {
        y = y + y;  // 2^30 paths
    }
    backward(y);
    CHECK(gradient(x).item() == 0x1p30);
}

TEST_CASE("gradients of several backward passes add up in the leaves") {
    const Vector x = leaf(vector_of(1.0, 2.0, 3.0));
    CHECK(!gradient(x).defined());
    backward(sum(square(x)));
    CHECK((gradient(x).to_host() == std::vector{2.0, 4.0, 6.0}));
    backward(sum(square(x)), 10.0);
    CHECK((gradient(x).to_host() == std::vector{22.0, 44.0, 66.0}));
    backward(sum(x));
    CHECK((gradient(x).to_host() == std::vector{23.0, 45.0, 67.0}));
    x.handle().node->gradient = {};
    backward(sum(x));
    CHECK((gradient(x).to_host() == std::vector{1.0, 1.0, 1.0}));
}

TEST_CASE("leaves that receive the same gradient do not share it") {
    const Vector x = leaf(vector_of(1.0, 2.0, 3.0));
    const Vector y = leaf(vector_of(1.0, 2.0, 3.0));
    for (int pass = 0; pass < 3; ++pass) {
        backward(sum((x + y) * 2.0));
        backward(sum(slice<0, 0, 1>(x)));  // adds in place
    }
    CHECK((gradient(x).to_host() == std::vector{9.0, 6.0, 6.0}));
    CHECK((gradient(y).to_host() == std::vector{6.0, 6.0, 6.0}));
}

TEST_CASE("a graph serves one backward pass") {
    const Vector x = leaf(vector_of(1.0, 2.0, 3.0));
    const auto loss = sum(square(x));
    backward(loss);
    CHECK_THROWS_WITH_AS(backward(loss), doctest::Contains("used already"), Error);
    CHECK((gradient(x).to_host() == std::vector{2.0, 4.0, 6.0}));  // the refused pass changed nothing
    const auto shared = exp(x);
    backward(sum(shared));
    const auto other = sum(square(shared));
    CHECK_THROWS_WITH_AS(backward(other), doctest::Contains("used already"), Error);
}

TEST_CASE("what does not depend on a leaf has no backward pass") {
    const auto loss = sum(square(vector_of(1.0, 2.0, 3.0)));
    CHECK(loss.handle().node == nullptr);
    CHECK_THROWS_WITH_AS(backward(loss), doctest::Contains("requires a gradient"), Error);
    const Vector x = leaf(vector_of(1.0, 2.0, 3.0));
    CHECK_THROWS_AS(backward(sum(detach(square(x)))), Error);
    backward(sum(x * detach(x)));
    CHECK((gradient(x).to_host() == std::vector{1.0, 2.0, 3.0}));
}

TEST_CASE("a scalar leaf is its own loss") {
    const Scalar x = leaf(Scalar::full({}, 2.0));
    backward(x, 3.0);
    CHECK(gradient(x).item() == 3.0);
}

TEST_CASE("the backward pass releases what the rules had saved, though the loss lives on") {
    const Vector x = leaf(vector_of(1.0, 2.0, 3.0));
    const Vector y = exp(x);
    const Vector z = y * y;
    const auto loss = sum(square(z));
    const auto& saved = y.handle().value.storage;
    CHECK(saved.use_count() > 1);
    const std::weak_ptr<std::byte> square_input = z.handle().value.storage;
    CHECK(square_input.use_count() > 1);
    backward(loss);
    CHECK(saved.use_count() == 1);
    CHECK(square_input.use_count() == 1);
    CHECK(!y.handle().node->gradient.defined());
    CHECK(!z.handle().node->gradient.defined());
}

TEST_CASE("dropping the loss releases the graph without a backward pass") {
    std::weak_ptr<Node<Reference>> interior;
    std::weak_ptr<std::byte> saved;
    const Vector x = leaf(vector_of(1.0, 2.0, 3.0));
    {
        const Vector y = exp(x);
        interior = y.handle().node;
        saved = y.handle().value.storage;
        const auto loss = sum(y);
        CHECK(!interior.expired());
    }
    CHECK(interior.expired());
    CHECK(saved.expired());
}

TEST_CASE("on a backend without tape, leaf and detach change nothing") {
    const auto x = Tensor<Reference, Shape<2>, double>::full({2}, 1.0);
    CHECK(leaf(x).handle().storage == x.handle().storage);
    CHECK(detach(x).handle().storage == x.handle().storage);
}
