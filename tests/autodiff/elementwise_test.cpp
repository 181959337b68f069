#include <doctest/doctest.h>

#include "gradient_check.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

/// Places where the function is smooth: away from kinks and jumps, and inside its domain.
Handle smooth_points(UnaryOp op) {
    switch (op) {
        case UnaryOp::log:
        case UnaryOp::sqrt:
        case UnaryOp::rsqrt:
            return random_handle({3, 4}, 1, 0.5, 2.0);
        default: {
            std::vector<double> values{-2.5, -1.25, -0.8, -0.3, -0.1, -0.02, 0.03, 0.12, 0.4, 0.6, 1.1, 2.25};
            return Reference::from_host(values.data(), {3, 4}, DType::f64);
        }
    }
}

}  // namespace

TEST_CASE("gradients of functions of one tensor") {
    for (int i = 0; i <= static_cast<int>(UnaryOp::binary_entropy); ++i) {
        const auto op = static_cast<UnaryOp>(i);
        if (op == UnaryOp::binarize || op == UnaryOp::round) {
            continue;
        }
        const Unary call{op, op == UnaryOp::clamp ? -0.5 : 1.5, op == UnaryOp::clamp ? 0.5 : 0.25};
        check_gradient(std::string(name_of(op)), [=](const auto& x) { return Tape::unary(call, x[0]); },
                       {smooth_points(op)});
    }
}

TEST_CASE("binarize and round pass gradients straight through") {
    for (const UnaryOp op : {UnaryOp::binarize, UnaryOp::round}) {
        const Tracked64 x = Tape::leaf(random_handle({5}, 3));
        backpropagate(Tape::reduce(ReduceOp::sum, Tape::unary({op}, x), Axes::all(1), ReducedAxes::drop));
        CHECK((gradient_of(x) == std::vector<double>(5, 1.0)));
    }
}

TEST_CASE("gradients of functions of two tensors, broadcast in all ways") {
    const std::pair<Extents, Extents> shapes[] = {{{2, 3}, {2, 3}},    {{2, 3}, {3}}, {{3}, {2, 3}},
                                                  {{2, 3}, {}},        {{}, {2, 3}},  {{2, 1}, {1, 3}},
                                                  {{2, 1, 3}, {4, 1}}, {{1, 1}, {3}}, {{0, 3}, {1, 3}}};
    for (int i = 0; i <= static_cast<int>(BinaryOp::max); ++i) {
        const auto op = static_cast<BinaryOp>(i);
        for (const auto& [a, b] : shapes) {
            check_gradient(text(name_of(op), " of ", a, " and ", b),
                           [=](const auto& x) { return Tape::binary(op, x[0], x[1]); },
                           {random_handle(a, 4, 0.5, 2.0), random_handle(b, 5, 0.5, 2.0)});
        }
        check_gradient(
            text(name_of(op), " of views"),
            [=](const auto& x) { return Tape::binary(op, Tape::permute(x[0], {1, 0}), Tape::slice(x[1], 1, 1, 3)); },
            {random_handle({2, 3}, 6, 0.5, 2.0), random_handle({3, 4}, 7, 0.5, 2.0)});
    }
    check_gradient("a tensor times itself", [](const auto& x) { return Tape::binary(BinaryOp::mul, x[0], x[0]); },
                   {random_handle({4}, 8)});
}

TEST_CASE("comparisons record nothing") {
    const Tracked64 x = Tape::leaf(random_handle({3}, 14));
    for (const BinaryOp op : {BinaryOp::equal, BinaryOp::less, BinaryOp::greater}) {
        CHECK(Tape::binary(op, x, x).node == nullptr);
    }
}

TEST_CASE("gradients of where, not of its condition") {
    const Tracked64 condition = Tape::constant(
        Reference::binary(BinaryOp::greater, random_handle({3, 4}, 9), Reference::full({}, DType::f64, 0.0)));
    for (const auto& [a, b] :
         {std::pair{Extents{3, 4}, Extents{3, 4}}, {Extents{4}, Extents{}}, {Extents{3, 1}, Extents{2, 1, 4}}}) {
        check_gradient(text("where of ", a, " and ", b),
                       [&](const auto& x) { return Tape::where(condition, x[0], x[1]); },
                       {random_handle(a, 10), random_handle(b, 11)});
    }
}

TEST_CASE("gradients of multiply-add") {
    for (const FactorKind kind : {FactorKind::plain, FactorKind::plus_one}) {
        for (const auto& [x, factor, addend] : {std::array{Extents{3, 4}, Extents{3, 4}, Extents{3, 4}},
                                                {Extents{2, 3, 4}, Extents{2, 1, 4}, Extents{4}},
                                                {Extents{}, Extents{3, 1}, Extents{2, 1, 4}}}) {
            check_gradient(text("multiply_add of ", x, ", ", factor, " and ", addend),
                           [&](const auto& v) { return Tape::multiply_add(v[0], v[1], v[2], kind); },
                           {random_handle(x, 15), random_handle(factor, 16), random_handle(addend, 17)});
        }
    }
}

TEST_CASE("gradients come back in the operand's element type") {
    const Tracked64 x = Tape::leaf(random_handle({5}, 12));
    const Tracked64 single = Tape::cast(x, DType::f32);
    CHECK(single.value.dtype == DType::f32);
    backpropagate(weighted_sum(Tape::cast(single, DType::f64), 13));
    CHECK(x.node->gradient.dtype == DType::f64);
    CHECK(relative_l2(gradient_of(x), doubles(random_handle({5}, 13, 0.5, 1.5))) < approx::f32);
}
