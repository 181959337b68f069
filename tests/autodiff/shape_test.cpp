#include <array>
#include <doctest/doctest.h>

#include "gradient_check.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

Tracked64 join(const std::vector<Tracked64>& parts, int axis) {
    return Tape::concat(std::span<const Tracked64>(parts), axis);
}
Tracked64 square(const Tracked64& x) {
    return Tape::unary({UnaryOp::square}, x);
}

}  // namespace

TEST_CASE("gradients of views") {
    const Handle x = random_handle({2, 3, 4}, 31);
    check_gradient("reshape", [](const auto& v) { return square(Tape::reshape(v[0], {6, 4})); }, {x});
    check_gradient("permute", [](const auto& v) { return square(Tape::permute(v[0], {2, 0, 1})); }, {x});
    check_gradient("reshape of permute",
                   [](const auto& v) { return square(Tape::reshape(Tape::permute(v[0], {2, 0, 1}), {3, 8})); }, {x});
    check_gradient("slice", [](const auto& v) { return square(Tape::slice(v[0], 1, 1, 3)); }, {x});
    check_gradient("empty slice", [](const auto& v) { return square(Tape::slice(v[0], 1, 1, 1)); }, {x});
    check_gradient("slice of slice",
                   [](const auto& v) { return square(Tape::slice(Tape::slice(v[0], 2, 1, 4), 0, 1, 2)); }, {x});
    check_gradient("contiguous", [](const auto& v) { return Tape::contiguous(Tape::permute(v[0], {1, 0, 2})); }, {x});
    const Handle thin = random_handle({3, 1}, 32);
    check_gradient("expand", [](const auto& v) { return square(Tape::expand(v[0], {3, 5})); }, {thin});
    check_gradient("expand to more axes", [](const auto& v) { return square(Tape::expand(v[0], {2, 3, 4})); }, {thin});
}

TEST_CASE("gradients of overlapping slices add up") {
    const Handle x = random_handle({6, 2}, 33);
    check_gradient("overlap",
                   [](const auto& v) {
                       const auto a = square(Tape::slice(v[0], 0, 0, 4));
                       const auto b = Tape::unary({UnaryOp::exp}, Tape::slice(v[0], 0, 2, 6));
                       return Tape::binary(BinaryOp::mul, a, b);
                   },
                   {x});
    check_gradient("slices and the whole",
                   [](const auto& v) {
                       const auto all = square(v[0]);  // interior: its gradient is consumed, not kept
                       const auto part = Tape::expand(Tape::slice(all, 0, 1, 2), {6, 2});
                       return Tape::binary(BinaryOp::add, Tape::binary(BinaryOp::mul, all, part),
                                           Tape::expand(Tape::slice(all, 0, 5, 6), {6, 2}));
                   },
                   {x});
    check_gradient("packed operands",
                   [](const auto& v) {
                       const auto packed = Tape::reshape(v[0], {2, 3, 2});
                       const auto part = [&](Index i) { return Tape::slice(packed, 1, i, i + 1); };
                       return Tape::binary(BinaryOp::mul, part(0), Tape::binary(BinaryOp::mul, part(1), part(2)));
                   },
                   {x});
}

TEST_CASE("an element that nothing uses has gradient zero") {
    const Tracked64 x = Tape::leaf(random_handle({4}, 34));
    backpropagate(weighted_sum(Tape::slice(x, 0, 1, 3), 35));
    const std::vector<double> g = gradient_of(x);
    CHECK(g[0] == 0.0);
    CHECK(g[1] != 0.0);
    CHECK(g[3] == 0.0);
}

TEST_CASE("gradients of concatenation") {
    for (int axis = 0; axis < 3; ++axis) {
        std::vector<Handle> parts;
        for (const Index length : {2, 1, 3}) {
            Extents e{2, 3, 2};
            e[axis] = length;
            parts.push_back(random_handle(e, static_cast<std::uint32_t>(36 + length)));
        }
        check_gradient(text("concat along ", axis), [=](const auto& v) { return square(join(v, axis)); }, parts);
    }
    check_gradient("the same tensor twice", [](const auto& v) { return square(join({v[0], v[0]}, 0)); },
                   {random_handle({3}, 40)});
}

TEST_CASE("gradients of row selection") {
    const std::vector<Index> rows{3, 0, 0, 2, 3, 3};
    const Tracked64 list = Tape::constant(Reference::from_host(rows.data(), {6}, DType::i64));
    check_gradient("gather", [&](const auto& v) { return square(Tape::gather_rows(v[0], list)); },
                   {random_handle({4, 3}, 41)});
    check_gradient("scatter", [&](const auto& v) { return square(Tape::scatter_add_rows(v[0], list, 5)); },
                   {random_handle({6, 3}, 42)});
    check_gradient("gather of a vector", [&](const auto& v) { return square(Tape::gather_rows(v[0], list)); },
                   {random_handle({4}, 43)});
}
