#include "flowfar/core/tensor.hpp"

#include <doctest/doctest.h>
#include <type_traits>
#include <vector>

#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"

using namespace flowfar;

namespace {

template <class S, class T = float>
using Ref = Tensor<Reference, S, T>;

/// 0, 1, 2, …
template <class S>
Ref<S> counting(const Extents& extents) {
    std::vector<float> values(static_cast<std::size_t>(extents.count()));
    for (std::size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<float>(i);
    }
    return Ref<S>::from_host(values, extents);
}

template <class X, class S>
inline constexpr bool has_shape = std::is_same_v<typename X::Shape, S>;

}  // namespace

TEST_CASE("making tensors and reading them back") {
    const Ref<Shape<2, 3>> x = counting<Shape<2, 3>>({2, 3});
    CHECK(x.defined());
    CHECK(x.extents() == Extents{2, 3});
    CHECK(x.extent(0) == 2);
    CHECK(x.extent(-1) == 3);
    CHECK((x.to_host() == std::vector<float>{0, 1, 2, 3, 4, 5}));
    CHECK((Ref<Shape<dyn>>::full({3}, 1.5).to_host() == std::vector<float>{1.5F, 1.5F, 1.5F}));
    CHECK(Ref<Shape<>>::zeros({}).item() == 0.0F);
    CHECK((Ref<Shape<dyn, 2>>::full(1.5, 1).to_host() == std::vector<float>{1.5F, 1.5F}));
    CHECK((Ref<Shape<dyn, 2>>::zeros(3).extents() == Extents{3, 2}));
    CHECK(!Ref<Shape<2>>().defined());
    CHECK(Ref<Shape<2>>::normal({2}, 1).to_host() == Ref<Shape<dyn>>::normal({2}, 1).to_host());
    CHECK(Ref<Shape<2>>::uniform({2}, 1, 5).to_host()[0] == Ref<Shape<dyn>>::uniform({9}, 1).to_host()[5]);
}

TEST_CASE("wrong extents and element types are refused") {
    const std::vector<float> six(6);
    CHECK_THROWS_AS((static_cast<void>(Ref<Shape<2, 3>>::from_host(six, {3, 2}))), Error);
    CHECK_THROWS_AS((static_cast<void>(Ref<Shape<2, 3>>::from_host(six, {2, 4}))), Error);
    CHECK_THROWS_AS((Ref<Shape<2>>(Reference::full({3}, DType::f32, 0.0))), Error);
    CHECK_THROWS_AS((Ref<Shape<2>>(Reference::full({2}, DType::f64, 0.0))), Error);
    CHECK_THROWS_AS(static_cast<void>(Ref<Shape<2>>::zeros({2}).item()), Error);
    CHECK_THROWS_AS(static_cast<void>(Ref<Shape<dyn>>::zeros({2}) + Ref<Shape<dyn>>::zeros({3})), Error);
}

TEST_CASE("arithmetic and its shapes") {
    const auto x = counting<Shape<2, 3>>({2, 3});
    const auto row = counting<Shape<dyn>>({3});
    static_assert(has_shape<decltype(x + row), Shape<2, 3>>);
    CHECK(((x + row).to_host() == std::vector<float>{0, 2, 4, 3, 5, 7}));
    CHECK(((x - row).to_host() == std::vector<float>{0, 0, 0, 3, 3, 3}));
    CHECK(((x * x).to_host() == std::vector<float>{0, 1, 4, 9, 16, 25}));
    CHECK(((x / (row + 1.0)).to_host() == std::vector<float>{0, 0.5F, 2.0F / 3, 3, 2, 5.0F / 3}));
    CHECK(((1.0 - x * 2.0 + 3.0).to_host() == std::vector<float>{4, 2, 0, -2, -4, -6}));
    CHECK(((-x / 2.0).to_host()[3] == -1.5F));
    CHECK((clamp(x, 1.0, 2.0).to_host() == std::vector<float>{0 + 1, 1, 2, 2, 2, 2}));
    CHECK((where(x - 2.0, x, -x).to_host() == std::vector<float>{0, 1, -2, 3, 4, 5}));
    const auto half = cast<bf16>(x);
    static_assert(std::is_same_v<decltype(half)::Element, bf16>);
    CHECK((cast<float>(half).to_host() == x.to_host()));
}

TEST_CASE("reductions") {
    const auto x = counting<Shape<2, dyn>>({2, 3});
    CHECK(sum(x).item() == 15.0F);
    CHECK(mean(x).item() == 2.5F);
    CHECK(sum_squares(x).item() == 55.0F);
    static_assert(has_shape<decltype(sum<-1>(x)), Shape<2, 1>>);
    CHECK((sum<-1>(x).to_host() == std::vector<float>{3, 12}));
    CHECK((mean<0>(x).to_host() == std::vector<float>{1.5F, 2.5F, 3.5F}));
    CHECK((reduce_axis<1>(ReduceOp::max, x).to_host() == std::vector<float>{2, 5}));
    CHECK(sum(softmax(x)).item() == doctest::Approx(2.0));
    CHECK(sum(exp(log_softmax(x))).item() == doctest::Approx(2.0));
}

TEST_CASE("matrix products and layers") {
    const auto x = counting<Shape<2, 3>>({2, 3});
    const auto y = counting<Shape<3, 2>>({3, 2});
    static_assert(has_shape<decltype(matmul(x, y)), Shape<2, 2>>);
    CHECK((matmul(x, y, 2.0).to_host() == std::vector<float>{20, 26, 56, 80}));
    const auto weight = counting<Shape<4, 3>>({4, 3});
    const auto bias = counting<Shape<4>>({4});
    static_assert(has_shape<decltype(linear(x, weight, bias)), Shape<2, 4>>);
    CHECK((linear(x, weight, bias).to_host() == std::vector<float>{5, 15, 25, 35, 14, 51, 88, 125}));
    CHECK((linear(x, weight, Ref<Shape<4>>()).to_host() == std::vector<float>{5, 14, 23, 32, 14, 50, 86, 122}));
    const auto normal = layer_norm(x);
    CHECK(sum(normal).item() == doctest::Approx(0.0));
    const auto gain = Ref<Shape<3>>::full({3}, 2.0);
    CHECK(layer_norm(x, gain, gain).to_host()[1] == doctest::Approx(2.0));
    CHECK(rms_norm(x, gain).to_host()[2] == doctest::Approx(2.0 * 2.0 / std::sqrt(5.0 / 3.0)));
}

TEST_CASE("rearrangement") {
    const auto x = counting<Shape<2, dyn, 4>>({2, 3, 4});
    static_assert(has_shape<decltype(permute<2, 0, 1>(x)), Shape<4, 2, dyn>>);
    CHECK(permute<2, 0, 1>(x).to_host()[1] == 4.0F);
    static_assert(has_shape<decltype(transpose(x)), Shape<2, 4, dyn>>);
    CHECK(transpose(x).to_host()[1] == 4.0F);
    static_assert(has_shape<decltype(transpose(counting<Shape<2, 4>>({2, 4}))), Shape<4, 2>>);
    const auto middle = slice<1>(x, 1, 3);
    static_assert(has_shape<decltype(middle), Shape<2, dyn, 4>>);
    CHECK(middle.extents() == Extents{2, 2, 4});
    static_assert(has_shape<decltype(slice<-1, 1, 3>(x)), Shape<2, dyn, 2>>);
    CHECK((slice<-1, 1, 3>(x).to_host()[2] == 5.0F));
    CHECK_THROWS_AS(static_cast<void>(slice<1>(x, 1, 4)), Error);
    static_assert(has_shape<decltype(concat<-1>(x, slice<2, 0, 2>(x))), Shape<2, dyn, 6>>);
    CHECK((concat<-1>(x, slice<2, 0, 2>(x)).to_host()[4] == 0.0F));
    CHECK(concat<1>(x, middle).extents() == Extents{2, 5, 4});
    CHECK_THROWS_AS(static_cast<void>(concat<0>(x, middle)), Error);
    CHECK((reshape<Shape<6, 4>>(x, {6, 4}).to_host() == x.to_host()));
    CHECK_THROWS_AS(static_cast<void>(reshape<Shape<6, dyn>>(x, {6, 5})), Error);
    CHECK((reshape<6, dyn>(x, 4).extents() == Extents{6, 4}));
    CHECK((reshape<Shape<dyn, 3, dyn>>(x, 2, 4).extents() == Extents{2, 3, 4}));
    CHECK_THROWS_AS(static_cast<void>(reshape<6, dyn>(x, 5)), Error);
    CHECK_THROWS_AS(static_cast<void>(reshape<Shape<6, dyn>>(x, {4, 6})), Error);
    CHECK(
        (expand<Shape<3, 2>>(counting<Shape<1, 2>>({1, 2}), {3, 2}).to_host() == std::vector<float>{0, 1, 0, 1, 0, 1}));
    CHECK(as<Shape<2, 3, 4>>(x).extents() == Extents{2, 3, 4});
    CHECK_THROWS_AS(static_cast<void>(as<Shape<2, 5, 4>>(x)), Error);
    const std::vector<Index> rows{1, 1, 0};
    const auto list = Ref<Shape<3>, Index>::from_host(rows, {3});
    static_assert(has_shape<decltype(gather_rows(x, list)), Shape<3, dyn, 4>>);
    CHECK(gather_rows(x, list).to_host()[0] == 12.0F);
}

TEST_CASE("attention and rotary embedding check what is known only at run time") {
    using Heads = Ref<Shape<dyn, 2, dyn, 4>>;
    const Heads q = Heads::normal({1, 2, 3, 4}, 1);
    const Heads k = Heads::normal({1, 2, 5, 4}, 2);
    CHECK(attention(q, k, k, 0.5).extents() == Extents{1, 2, 3, 4});
    CHECK_THROWS_AS(static_cast<void>(attention(q, k, q, 0.5)), Error);
    CHECK_THROWS_AS(
        static_cast<void>(attention(q, Heads::normal({2, 2, 5, 4}, 3), Heads::normal({2, 2, 5, 4}, 3), 0.5)), Error);
    const auto three = Ref<Shape<dyn, dyn, dyn, 4>>::normal({1, 3, 5, 4}, 4);
    CHECK_THROWS_AS(static_cast<void>(attention(q, three, three, 0.5)), Error);
    using Table = Ref<Shape<dyn, 2>>;
    CHECK(rope(q, Table::full({3, 2}, 1.0), Table::zeros({3, 2})).to_host() == q.to_host());
    CHECK_THROWS_AS(static_cast<void>(rope(q, Table::full({5, 2}, 1.0), Table::zeros({5, 2}))), Error);
}
