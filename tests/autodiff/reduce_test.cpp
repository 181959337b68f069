#include <doctest/doctest.h>

#include "gradient_check.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("gradients of reductions over every set of axes") {
    for (const Extents& e : {Extents{}, Extents{5}, Extents{3, 4}, Extents{2, 3, 4}, Extents{2, 0, 3}}) {
        for (unsigned bits = 0; bits < (1U << e.rank()); ++bits) {
            for (const ReduceOp op : {ReduceOp::sum, ReduceOp::mean, ReduceOp::max, ReduceOp::sum_squares}) {
                if (e.count() == 0 && (op == ReduceOp::max || op == ReduceOp::mean)) {
                    continue;  // the values themselves are not finite
                }
                for (const ReducedAxes reduced : {ReducedAxes::keep, ReducedAxes::drop}) {
                    check_gradient(text("reduction ", static_cast<int>(op), " of ", e, ", axes ", bits),
                                   [=](const auto& x) { return Tape::reduce(op, x[0], Axes{bits}, reduced); },
                                   {random_handle(e, 21, -2.0, 2.0)});
                }
            }
        }
    }
}

TEST_CASE("elements that share a maximum share its gradient") {
    const std::vector<double> values{1.0, 3.0, 3.0, 2.0};
    const Tracked64 x = Tape::leaf(Reference::from_host(values.data(), {4}, DType::f64));
    backpropagate(Tape::reduce(ReduceOp::max, x, Axes::only(0), ReducedAxes::drop));
    CHECK((gradient_of(x) == std::vector<double>{0.0, 0.5, 0.5, 0.0}));
}

TEST_CASE("gradients of softmax") {
    for (const Extents& e : {Extents{1}, Extents{5}, Extents{2, 3, 4}, Extents{0, 3}}) {
        check_gradient(text("softmax of ", e), [](const auto& x) { return Tape::softmax(x[0]); },
                       {random_handle(e, 22, -2, 2)});
        check_gradient(text("log-softmax of ", e), [](const auto& x) { return Tape::log_softmax(x[0]); },
                       {random_handle(e, 23, -2, 2)});
    }
    check_gradient("softmax of a view", [](const auto& x) { return Tape::softmax(Tape::permute(x[0], {1, 0})); },
                   {random_handle({3, 4}, 24)});
}
