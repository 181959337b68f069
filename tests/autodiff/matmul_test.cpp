#include <doctest/doctest.h>

#include "gradient_check.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

struct Case {
    const char* name;
    Extents a, b;
};

}  // namespace

TEST_CASE("gradients of matrix products of all batchings, with and without bias") {
    const Case cases[] = {{"matrices", {3, 4}, {4, 2}},
                          {"one matrix for all", {2, 3, 4}, {4, 2}},
                          {"one matrix for two batch axes", {2, 2, 3, 4}, {4, 2}},
                          {"batched", {2, 3, 4}, {2, 4, 2}},
                          {"batched twice", {2, 2, 3, 4}, {2, 2, 4, 2}},
                          {"b repeats over a batch axis", {2, 2, 3, 4}, {2, 1, 4, 2}},
                          {"b repeats over all batches", {2, 3, 4}, {1, 4, 2}},
                          {"a row", {1, 4}, {4, 2}},
                          {"a column", {3, 1}, {1, 1}},
                          {"no inner extent", {2, 3, 0}, {0, 2}},
                          {"empty batch", {0, 3, 4}, {4, 2}},
                          {"no columns", {2, 3, 4}, {4, 0}}};
    for (const Case& c : cases) {
        const Handle a = random_handle(c.a, 51);
        const Handle b = random_handle(c.b, 52);
        const Handle bias = random_handle({c.b.back()}, 53);
        for (const double alpha : {1.0, -0.7}) {
            check_gradient(c.name, [=](const auto& x) { return Tape::gemm(x[0], x[1], Tracked64{}, {.alpha = alpha}); },
                           {a, b});
            check_gradient(text(c.name, " and bias"),
                           [=](const auto& x) { return Tape::gemm(x[0], x[1], x[2], {.alpha = alpha}); }, {a, b, bias});
        }
    }
}

TEST_CASE("gradients through fused activations") {
    for (const Activation activation : {Activation::silu, Activation::gelu_tanh, Activation::gelu_erf}) {
        const GemmOptions options{.alpha = 0.8, .activation = activation};
        check_gradient(text("activation ", static_cast<int>(activation)),
                       [=](const auto& x) { return Tape::gemm(x[0], Tape::permute(x[1], {1, 0}), x[2], options); },
                       {random_handle({2, 3, 4}, 54), random_handle({5, 4}, 55), random_handle({5}, 56)});
        check_gradient(text("activation without bias ", static_cast<int>(activation)),
                       [=](const auto& x) { return Tape::gemm(x[0], x[1], Tracked64{}, options); },
                       {random_handle({3, 4}, 57), random_handle({4, 2}, 58)});
    }
}

TEST_CASE("gradients of products of views") {
    check_gradient("transposed",
                   [](const auto& x) { return Tape::gemm(Tape::permute(x[0], {1, 0}), x[1], Tracked64{}, {}); },
                   {random_handle({4, 3}, 59), random_handle({4, 2}, 60)});
    check_gradient("heads",
                   [](const auto& x) {
                       const auto q = Tape::permute(Tape::reshape(x[0], {2, 3, 2, 2}), {0, 2, 1, 3});
                       return Tape::gemm(q, Tape::permute(q, {0, 1, 3, 2}), Tracked64{}, {});
                   },
                   {random_handle({2, 3, 4}, 61)});
}

TEST_CASE("the gradient of a linear layer's weight is contiguous and has the weight's extents") {
    const Tracked64 weight = Tape::leaf(random_handle({5, 4}, 62));
    const Tracked64 x = Tape::constant(random_handle({3, 4}, 63));
    backpropagate(weighted_sum(Tape::gemm(x, Tape::permute(weight, {1, 0}), Tracked64{}, {}), 64));
    CHECK(weight.node->gradient.extents() == Extents{5, 4});
    CHECK(is_contiguous(weight.node->gradient.layout));
}
