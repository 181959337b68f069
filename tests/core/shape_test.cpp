#include "flowfar/core/shape.hpp"

#include <doctest/doctest.h>
#include <type_traits>

using namespace flowfar;

namespace {

template <class A, class B>
using Broadcast = ShapeOf<shape_algebra::broadcast<A, B>()>;
template <class A, class B>
inline constexpr bool can = shape_algebra::can_broadcast<A, B>();

}  // namespace

static_assert(Shape<2, dyn, 4>::rank == 3 && Shape<2, dyn, 4>::at(0) == 2 && Shape<2, dyn, 4>::at(-1) == 4);
static_assert(Shape<>::rank == 0);
static_assert(compatible(3, 3) && compatible(dyn, 3) && compatible(3, dyn) && !compatible(3, 4));
static_assert(compatible_shapes<Shape<2, dyn>, Shape<dyn, 3>>() && !compatible_shapes<Shape<2>, Shape<2, 1>>());
static_assert(std::is_same_v<ShapeOf<shape_algebra::permute<Shape<2, dyn, 4>, 2, 0, 1>()>, Shape<4, 2, dyn>>);
static_assert(std::is_same_v<ShapeOf<shape_algebra::replace<Shape<2, 3>, -1, dyn>()>, Shape<2, dyn>>);
static_assert(shape_algebra::add(2, 3) == 5 && shape_algebra::add(dyn, 3) == dyn && shape_algebra::add(2, dyn) == dyn);

static_assert(can<Shape<2, 3>, Shape<3>> && can<Shape<2, 1>, Shape<3>> && can<Shape<>, Shape<5>>);
static_assert(can<Shape<dyn>, Shape<5>> && !can<Shape<2, 3>, Shape<2>> && !can<Shape<0>, Shape<2>>);
static_assert(std::is_same_v<Broadcast<Shape<2, 3>, Shape<3>>, Shape<2, 3>>);
static_assert(std::is_same_v<Broadcast<Shape<3>, Shape<2, 3>>, Shape<2, 3>>);
static_assert(std::is_same_v<Broadcast<Shape<2, 1>, Shape<3>>, Shape<2, 3>>);
static_assert(std::is_same_v<Broadcast<Shape<>, Shape<5>>, Shape<5>>);
static_assert(std::is_same_v<Broadcast<Shape<>, Shape<>>, Shape<>>);
static_assert(std::is_same_v<Broadcast<Shape<1>, Shape<0>>, Shape<0>>);
// dyn beside 1 stays unknown; beside anything larger it can only be 1 or that.
static_assert(std::is_same_v<Broadcast<Shape<dyn>, Shape<1>>, Shape<dyn>>);
static_assert(std::is_same_v<Broadcast<Shape<1>, Shape<dyn>>, Shape<dyn>>);
static_assert(std::is_same_v<Broadcast<Shape<dyn>, Shape<5>>, Shape<5>>);
static_assert(std::is_same_v<Broadcast<Shape<5>, Shape<dyn>>, Shape<5>>);
static_assert(std::is_same_v<Broadcast<Shape<dyn, 2>, Shape<dyn, dyn, 1>>, Shape<dyn, dyn, 2>>);

TEST_CASE("run-time extents are checked against the shape") {
    CHECK_NOTHROW((check_extents<Shape<2, dyn>>({2, 7}, "test")));
    CHECK_NOTHROW((check_extents<Shape<>>({}, "test")));
    CHECK_THROWS_WITH_AS((check_extents<Shape<2, dyn>>({3, 7}, "test")),
                         "test: expected extents [2, any], found [3, 7]", Error);
    CHECK_THROWS_WITH_AS((check_extents<Shape<2, dyn>>({2}, "test")), "test: expected extents [2, any], found [2]",
                         Error);
    CHECK_THROWS_WITH_AS((check_extents<Shape<>>({1}, "test")), "test: expected extents [], found [1]", Error);
}
