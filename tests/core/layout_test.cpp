#include "flowfar/core/layout.hpp"

#include <doctest/doctest.h>
#include <random>
#include <vector>

using namespace flowfar;

namespace {

/// The memory positions of all elements in row-major order.
std::vector<Index> positions(const Layout& layout) {
    std::vector<Index> out;
    for (Index i = 0; i < layout.count(); ++i) {
        Index rest = i;
        Index position = layout.offset;
        for (int axis = layout.rank() - 1; axis >= 0; --axis) {
            position += rest % layout.extents[axis] * layout.stride(axis);
            rest /= layout.extents[axis];
        }
        out.push_back(position);
    }
    return out;
}

Extents axes_in_order(int rank) {
    Extents order;
    for (int axis = 0; axis < rank; ++axis) {
        order.push_back(axis);
    }
    return order;
}

}  // namespace

TEST_CASE("extents") {
    CHECK(Extents{}.count() == 1);
    CHECK(Extents{3, 0, 2}.count() == 0);
    CHECK(Extents{3, 4}.count() == 12);
    CHECK(Extents{3, 4}.back() == 4);
    CHECK(Extents{3, 4} == Extents{3, 4});
    CHECK(!(Extents{3, 4} == Extents{4, 3}));
    CHECK(!(Extents{3} == Extents{3, 1}));
    CHECK(to_string(Extents{}) == "[]");
    CHECK(to_string(Extents{3, 4}) == "[3, 4]");
    CHECK_THROWS_AS((Extents{1, 1, 1, 1, 1, 1, 1, 1, 1}), Error);
    CHECK_THROWS_AS((Extents{-1}), Error);
    static_assert(Extents{2, 3}.count() == 6 && contiguous_layout({2, 3}).stride(0) == 3);
}

TEST_CASE("contiguous layouts") {
    const Layout layout = contiguous_layout({2, 3, 4});
    CHECK(layout.stride(0) == 12);
    CHECK(layout.stride(1) == 4);
    CHECK(layout.stride(2) == 1);
    CHECK(is_contiguous(layout));
    CHECK(!is_contiguous(permuted(layout, {1, 0, 2})));
    CHECK(!is_contiguous(sliced(layout, 1, 0, 2)));
    CHECK(is_contiguous(sliced(layout, 0, 1, 2)));
    CHECK(!is_contiguous(expanded(contiguous_layout({3, 1}), {3, 2})));
    CHECK(is_contiguous(permuted(contiguous_layout({1, 5}), {1, 0})));
    CHECK(is_contiguous(permuted(contiguous_layout({0, 5}), {1, 0})));
}

TEST_CASE("permute, slice and expand") {
    const Layout layout = contiguous_layout({2, 3});
    CHECK((positions(permuted(layout, {1, 0})) == std::vector<Index>{0, 3, 1, 4, 2, 5}));
    CHECK((positions(sliced(layout, 1, 1, 3)) == std::vector<Index>{1, 2, 4, 5}));
    CHECK((positions(sliced(layout, 0, 1, 1)).empty()));
    CHECK((positions(expanded(sliced(layout, 1, 1, 2), {2, 2, 3})) ==
           std::vector<Index>{1, 1, 1, 4, 4, 4, 1, 1, 1, 4, 4, 4}));
    CHECK_THROWS_AS(static_cast<void>(permuted(layout, {0})), Error);
    CHECK_THROWS_AS(static_cast<void>(permuted(layout, {0, 0})), Error);
    CHECK_THROWS_AS(static_cast<void>(permuted(layout, {0, 2})), Error);
    CHECK_THROWS_AS(static_cast<void>(sliced(layout, 2, 0, 1)), Error);
    CHECK_THROWS_AS(static_cast<void>(sliced(layout, -1, 0, 1)), Error);
    CHECK_THROWS_AS(static_cast<void>(sliced(layout, 1, 0, 4)), Error);
    CHECK_THROWS_AS(static_cast<void>(sliced(layout, 1, 2, 1)), Error);
    CHECK_THROWS_AS(static_cast<void>(sliced(layout, 1, -1, 1)), Error);
    CHECK_THROWS_AS(static_cast<void>(expanded(layout, {3, 3})), Error);
    CHECK_THROWS_AS(static_cast<void>(expanded(layout, {3})), Error);
}

TEST_CASE("reshape keeps the order of the elements, for random views") {
    constexpr std::uint32_t seed = 11;
    INFO("seed ", seed);
    std::mt19937 engine(seed);
    const auto below = [&](Index n) { return static_cast<Index>(engine() % static_cast<std::uint32_t>(n)); };
    int views = 0;
    for (int trial = 0; trial < 20000; ++trial) {
        Extents e;
        const int rank = 1 + static_cast<int>(below(4));
        for (int axis = 0; axis < rank; ++axis) {
            e.push_back(1 + below(4));
        }
        Layout layout = contiguous_layout(e);
        for (int axis = 0; axis < rank; ++axis) {
            const Index begin = below(2) == 0 ? 0 : below(layout.extents[axis]);
            const Index room = layout.extents[axis] - begin;
            layout = sliced(layout, axis, begin, begin + (below(2) == 0 ? room : 1 + below(room)));
        }
        Extents order = axes_in_order(rank);
        for (int axis = rank - 1; axis > 0 && trial % 3 != 0; --axis) {
            std::swap(order[axis], order[static_cast<int>(below(axis + 1))]);
        }
        layout = permuted(layout, order);
        // Regroup the factors of the count at random, with ones in between.
        Extents target;
        Index rest = layout.count();
        while (target.rank() < 6 && (rest > 1 || below(3) == 0)) {
            Index factor = 1 + below(rest);
            while (rest % factor != 0) {
                ++factor;
            }
            target.push_back(factor);
            rest /= factor;
        }
        target.push_back(rest);
        const auto view = reshaped(layout, target);
        if (view) {
            ++views;
            CHECK(view->extents == target);
            REQUIRE((positions(*view) == positions(layout)));
        } else {
            REQUIRE(!is_contiguous(layout));
        }
    }
    CHECK(views > 5000);
}

TEST_CASE("reshape needs no copy where the elements are evenly spaced") {
    const Layout layout = contiguous_layout({4, 6, 8});
    CHECK(reshaped(sliced(layout, 2, 3, 4), {24}).has_value());
    CHECK(reshaped(sliced(layout, 2, 0, 3), {4, 6, 3, 1}).has_value());
    CHECK(reshaped(sliced(layout, 2, 0, 3), {2, 12, 3}).has_value());
    CHECK(reshaped(permuted(layout, {2, 0, 1}), {8, 24}).has_value());
    CHECK(reshaped(expanded(contiguous_layout({4, 1}), {4, 6}), {2, 2, 3, 2}).has_value());
    CHECK(!reshaped(permuted(layout, {1, 0, 2}), {24, 8}).has_value());
    CHECK(!reshaped(sliced(layout, 2, 0, 3), {72}).has_value());
    CHECK_THROWS_AS(static_cast<void>(reshaped(layout, {5})), Error);
}

TEST_CASE("the stride of an axis of extent 1 does not mislead reshape") {
    Layout layout = contiguous_layout({2, 1, 4});
    layout.set_stride(0, 100);
    layout.set_stride(1, 100);  // as if the axis continued evenly into the first
    CHECK(!reshaped(layout, {8}).has_value());
    layout.set_stride(0, 4);
    layout.set_stride(1, 7);
    const auto view = reshaped(layout, {8});
    REQUIRE(view.has_value());
    CHECK((positions(*view) == std::vector<Index>{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST_CASE("broadcasting") {
    CHECK(broadcast({2, 3}, {3}, "test") == Extents{2, 3});
    CHECK(broadcast({}, {2, 3}, "test") == Extents{2, 3});
    CHECK(broadcast({2, 1}, {5, 1, 3}, "test") == Extents{5, 2, 3});
    CHECK(broadcast({0, 3}, {1, 3}, "test") == Extents{0, 3});
    CHECK_THROWS_WITH_AS(static_cast<void>(broadcast({2, 3}, {2}, "add")), "add: [2, 3] and [2] do not broadcast",
                         Error);
    CHECK_THROWS_AS(static_cast<void>(broadcast({0}, {2}, "test")), Error);
}
