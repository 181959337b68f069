// What one types in the first minutes: making tensors, looking at them, comparing, rearranging, and what mistakes say.
#include <doctest/doctest.h>
#include <limits>
#include <sstream>
#include <string>
#include <vector>

#include "flowfar/backend/reference.hpp"
#include "flowfar/core/derived/classes.hpp"
#include "flowfar/core/derived/compare.hpp"
#include "flowfar/core/print.hpp"

using namespace flowfar;

namespace {

template <class S, class T = float>
using Plainly = Tensor<Reference, S, T>;
using Matrix = Plainly<Shape<2, 3>>;
using Floats = std::vector<float>;

template <class X>
std::string printed(const X& x) {
    std::ostringstream out;
    out << x;
    return out.str();
}

/// The message of the error that `f` throws.
template <class F>
std::string message_of(F&& f) {
    try {
        f();
    } catch (const Error& error) {
        return error.what();
    }
    return "no error";
}

const Matrix x = Matrix::of({{1, 2, 3}, {4, 5, 6}});

enum Plain { one = 1 };

/// The operators of tensors are candidates here, too, and have to step aside: with clang they once stopped the
/// compilation.
bool same(unsigned char a, Plain b) {
    return a == b;
}

}  // namespace

TEST_CASE("operators of tensors leave other types alone") {
    CHECK(same(1, one));
    CHECK_FALSE(same(2, one));
}

TEST_CASE("static shapes need no extents, and one that is dyn follows from the data") {
    CHECK((x.to_host() == Floats{1, 2, 3, 4, 5, 6}));
    CHECK((Plainly<Shape<dyn, 3>>::of({{1, 2, 3}}).extents() == Extents{1, 3}));
    CHECK((Plainly<Shape<dyn>>::of({7, 8}).extents() == Extents{2}));
    CHECK((Plainly<Shape<dyn, 2>>::from_host(Floats(6)).extents() == Extents{3, 2}));
    CHECK((Matrix::normal(7).to_host() == Matrix::normal({2, 3}, 7).to_host()));
    CHECK((Matrix::uniform(7).to_host() == Matrix::uniform({2, 3}, 7).to_host()));
    CHECK_THROWS_AS((void)(Plainly<Shape<dyn, 2>>::from_host(Floats(5))), Error);
    CHECK_THROWS_AS((void)Matrix::from_host(Floats(5)), Error);
    CHECK_THROWS_AS((void)Matrix::of({{1, 2, 3}, {4, 5}}), Error);
    CHECK_THROWS_AS((void)Matrix::of({{1, 2}, {3, 4}}), Error);
}

TEST_CASE("one element on the host") {
    CHECK(x.at(0, 1) == 2.0F);
    CHECK(x.at(-1, -1) == 6.0F);
    CHECK(transpose(x).at(2, 0) == 3.0F);
    CHECK(Plainly<Shape<>>::full(1.5).at() == 1.5F);
    CHECK(message_of([] { (void)x.at(0, 3); }) == "at: index 3 of axis 1 with extent 3");
    CHECK(message_of([] { (void)x.at(-3, 0); }) == "at: index -3 of axis 0 with extent 2");
}

TEST_CASE("tensors print as in NumPy") {
    CHECK(printed(x) == "[[1, 2, 3],\n [4, 5, 6]]");
    CHECK(printed(x * -2.5) == "[[ -2.5,    -5,  -7.5],\n [  -10, -12.5,   -15]]");
    CHECK(printed(stack<0>(x, x)) == "[[[1, 2, 3],\n  [4, 5, 6]],\n\n [[1, 2, 3],\n  [4, 5, 6]]]");
    CHECK(printed(Plainly<Shape<>>::full(0.5)) == "0.5");
    CHECK(printed(Plainly<Shape<0, 3>>::zeros()) == "[]");
    CHECK(printed(Plainly<Shape<2>, bf16>::full(1.5)) == "[1.5, 1.5]");
    CHECK(printed(Matrix()) == "absent");
    CHECK(printed(Plainly<Shape<1001>>::zeros()) == "[0, 0, 0, ..., 0, 0, 0]");
    CHECK(printed(Plainly<Shape<501, 2>>::zeros()) ==
          "[[0, 0],\n [0, 0],\n [0, 0],\n ...,\n [0, 0],\n [0, 0],\n [0, 0]]");
    CHECK(printed(x.extents()) == "[2, 3]");
    CHECK(printed(DType::bf16) == "BF16");
    CHECK(text("found ", x) == "found [[1, 2, 3],\n [4, 5, 6]]");
}

TEST_CASE("comparisons give 0 and 1; with NaN only != holds") {
    CHECK(((x > 2.0).to_host() == Floats{0, 0, 1, 1, 1, 1}));
    CHECK(((x >= 2.0).to_host() == Floats{0, 1, 1, 1, 1, 1}));
    CHECK(((x < 2.0).to_host() == Floats{1, 0, 0, 0, 0, 0}));
    CHECK(((x <= 2.0).to_host() == Floats{1, 1, 0, 0, 0, 0}));
    CHECK(((x == 2.0).to_host() == Floats{0, 1, 0, 0, 0, 0}));
    CHECK(((x != 2.0).to_host() == Floats{1, 0, 1, 1, 1, 1}));
    const auto row = Plainly<Shape<3>>::of({1, 5, 3});
    CHECK(((x == row).to_host() == Floats{1, 0, 1, 0, 1, 0}));
    CHECK((maximum(x, row).to_host() == Floats{1, 5, 3, 4, 5, 6}));
    CHECK((minimum(x, row).to_host() == Floats{1, 2, 3, 1, 5, 3}));
    const auto nan = Plainly<Shape<1>>::of({std::numeric_limits<float>::quiet_NaN()});
    for (const auto& holds : {nan < 0.0, nan > 0.0, nan <= 0.0, nan >= 0.0, nan == nan}) {
        CHECK(holds.item() == 0.0F);
    }
    CHECK((nan != nan).item() == 1.0F);
}

TEST_CASE("powers, quotients, compound assignment") {
    CHECK((pow(-x, 3).to_host() == Floats{-1, -8, -27, -64, -125, -216}));
    CHECK((pow(x, 0).to_host() == Floats(6, 1.0F)));
    CHECK((pow(x, 1).to_host() == x.to_host()));
    CHECK(pow(x, -2).at(0, 1) == 0.25F);
    CHECK(pow(x, 0.5).at(1, 0) == doctest::Approx(2.0));
    CHECK(pow(x, 6).at(0, 1) == 64.0F);
    CHECK((12.0 / x).at(1, 0) == 3.0F);
    Matrix y = x;
    y += 1.0;
    y *= y;
    y -= x;
    y /= 3.0;
    CHECK((y.to_host() == Floats{1, 7.0F / 3, 13.0F / 3, 7, 31.0F / 3, 43.0F / 3}));
    CHECK(x.at(0, 0) == 1.0F);  // y shared its elements
}

TEST_CASE("axes that go, come and merge") {
    static_assert(std::is_same_v<decltype(mean<1>(x, drop_axis))::Shape, Shape<2>>);
    CHECK((mean<1>(x, drop_axis).to_host() == Floats{2, 5}));
    CHECK((sum<0>(x, drop_axis).to_host() == Floats{5, 7, 9}));
    CHECK((max<-1>(x, drop_axis).to_host() == Floats{3, 6}));
    CHECK((max<0>(x).extents() == Extents{1, 3}));
    CHECK(max(-x).item() == -1.0F);
    CHECK_THROWS_AS((void)max(Plainly<Shape<0>>::zeros()), Error);
    static_assert(std::is_same_v<decltype(squeeze<1>(mean<1>(x)))::Shape, Shape<2>>);
    static_assert(std::is_same_v<decltype(unsqueeze<-1>(x))::Shape, Shape<2, 3, 1>>);
    static_assert(std::is_same_v<decltype(unsqueeze<0>(x))::Shape, Shape<1, 2, 3>>);
    CHECK_THROWS_AS((void)squeeze<0>(Plainly<Shape<dyn, 2>>::zeros(3)), Error);
    static_assert(std::is_same_v<decltype(stack<1>(x, x))::Shape, Shape<2, 2, 3>>);
    CHECK((stack<1>(x, -x).to_host() == Floats{1, 2, 3, -1, -2, -3, 4, 5, 6, -4, -5, -6}));
    static_assert(std::is_same_v<decltype(flatten(x))::Shape, Shape<6>>);
    static_assert(std::is_same_v<decltype(flatten<1>(Plainly<Shape<dyn, 3, 2>>()))::Shape, Shape<dyn, 6>>);
    CHECK((flatten<1>(Plainly<Shape<dyn, 3, 2>>::zeros(4)).extents() == Extents{4, 6}));
    CHECK((where(x > 2.0, x, Plainly<Shape<>>::full(0.5)).to_host() == Floats{0.5F, 0.5F, 3, 4, 5, 6}));
}

TEST_CASE("classes: one-hot rows, argmax, cross entropy") {
    using Scores = Plainly<Shape<dyn, 3>>;
    const std::vector<Index> labels{2, 0};
    CHECK((one_hot<Scores>(labels).to_host() == Floats{0, 0, 1, 1, 0, 0}));
    CHECK(message_of([] { (void)one_hot<Scores>(std::vector<Index>{1, 3}); }) ==
          "one_hot: label 1 is 3, expected 0 to 2");
    const Scores scores = Scores::of({{1, 3, 3}, {-1, -2, -3}});
    CHECK((argmax(scores).to_host() == std::vector<Index>{1, 0}));
    const float nan = std::numeric_limits<float>::quiet_NaN();
    CHECK((argmax(Scores::of({{1, nan, 3}, {4, 5, nan}})).to_host() == std::vector<Index>{1, 2}));
    const double expected =
        -(3 - std::log(std::exp(1) + 2 * std::exp(3)) + (-1 - std::log(std::exp(-1) + std::exp(-2) + std::exp(-3)))) /
        2;
    CHECK(cross_entropy(scores, labels).item() == doctest::Approx(expected));
    // A class that is impossible and not the label does not count.
    const float never = -std::numeric_limits<float>::infinity();
    CHECK(cross_entropy(Scores::of({{never, 0, 0}}), std::vector<Index>{1}).item() == doctest::Approx(std::log(2.0)));
    CHECK_THROWS_AS((void)cross_entropy(scores, std::vector<Index>{1}), Error);
    const auto smoothed = [&](const Scores& x, Index label, double smoothing) {
        return static_cast<double>(smoothed_cross_entropy(x, std::vector<Index>{label}, smoothing).to_host()[0]);
    };
    const Scores row = Scores::of({{1, 3, 3}});
    const double sum = std::log(std::exp(1) + 2 * std::exp(3));
    for (const double smoothing : {0.0, 0.3, 1.0}) {
        CHECK(smoothed(row, 0, smoothing) ==
              doctest::Approx((1 - smoothing) * (sum - 1) + smoothing * (sum - 7.0 / 3)));
    }
    CHECK(smoothed(Scores::of({{never, 0, 0}}), 1, 0.0) == doctest::Approx(std::log(2.0)));
    for (const double smoothing : {0.3, 1.0}) {
        CHECK(smoothed(Scores::of({{never, 0, 0}}), 0, smoothing) == std::numeric_limits<double>::infinity());
    }
}

TEST_CASE("tensors without elements and axes that are not there are errors") {
    const Matrix absent;
    const auto absent_in = [](const char* operation) {
        return std::string(operation) + ": an operand is absent (a tensor that was constructed without arguments)";
    };
    CHECK(message_of([&] { (void)(x + absent); }) == absent_in("add"));
    CHECK(message_of([&] { (void)exp(absent); }) == absent_in("exp"));
    CHECK(message_of([&] { (void)matmul(absent, transpose(x)); }) == absent_in("matmul"));
    CHECK(message_of([&] { (void)sum(absent); }) == absent_in("sum"));
    CHECK(message_of([&] { (void)transpose(absent); }) == absent_in("permute"));
    CHECK(message_of([&] { (void)absent.to_host(); }) == absent_in("to_host"));
    CHECK(message_of([&] { (void)absent.item(); }) == absent_in("item"));
    CHECK(message_of([&] { (void)absent.extent(0); }) == absent_in("extents"));
    CHECK(message_of([] { (void)x.extent(7); }) == "extent: axis 7 of a tensor of rank 2");
    CHECK(message_of([] { (void)x.extent(-3); }) == "extent: axis -3 of a tensor of rank 2");
}
