// Gradients of functions that are made of other operations.
#include <doctest/doctest.h>
#include <vector>

#include "flowfar/core/derived/classes.hpp"
#include "flowfar/core/derived/compare.hpp"

#include "gradient_check.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

template <class S>
using Taped = Tensor<Tape, S, double>;

/// Checks the gradient of f(x), x a matrix.
template <class F>
void check(const char* name, F&& f, double low = 0.2) {
    check_gradient(name, [&](const std::vector<Tracked64>& in) { return f(Taped<Shape<2, 3>>(in[0])).handle(); },
                   {random_handle({2, 3}, 3, low, 2.0)});
}

}  // namespace

TEST_CASE("gradients of functions made of others") {
    check("pow 3", [](const auto& x) { return pow(x, 3); }, -2.0);
    check("pow -2", [](const auto& x) { return pow(x, -2); });
    check("pow 1.3", [](const auto& x) { return pow(x, 1.3); });
    check("c / x", [](const auto& x) { return 2.0 / x; });
    check("max", [](const auto& x) { return max<1>(x, drop_axis); });
    check("minimum", [](const auto& x) { return minimum(x, Taped<Shape<>>::full(0.9)); });
    check("mean", [](const auto& x) { return mean<0>(x, drop_axis); });
    check("stack", [](const auto& x) { return stack<1>(x, x * 2.0); });
    check("flatten", [](const auto& x) { return flatten(unsqueeze<1>(x)); });
    check("where", [](const auto& x) { return where(x > 1.0, x, mean<1>(x)); });
    check("cross_entropy", [](const auto& x) { return cross_entropy(x, std::vector<Index>{2, 0}); });
}
