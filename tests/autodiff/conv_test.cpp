#include <doctest/doctest.h>

#include "gradient_check.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("gradients of convolution") {
    struct Case {
        Extents x, weight;
        ConvOptions options;
    };
    for (const Case& c :
         {Case{{2, 2, 4, 3}, {3, 2, 3, 3}, ConvOptions::same(3)}, Case{{1, 2, 4, 4}, {2, 2, 3, 3}, {2, 0, 0, 1, 1}},
          Case{{1, 1, 5, 4}, {2, 1, 2, 3}, {3, 1, 2, 0, 1}}, Case{{2, 3, 2, 2}, {2, 3, 1, 1}, {}}}) {
        const Handle x = random_handle(c.x, 91);
        const Handle weight = random_handle(c.weight, 92);
        const std::string name = text("conv2d of ", c.x, " by ", c.weight);
        check_gradient(name, [&](const auto& v) { return Tape::conv2d(v[0], v[1], v[2], c.options); },
                       {x, weight, random_handle({c.weight[0]}, 93)});
        const Tracked64 none;
        check_gradient(name + " without bias", [&](const auto& v) { return Tape::conv2d(v[0], v[1], none, c.options); },
                       {x, weight});
    }
}

TEST_CASE("gradients of group norm") {
    for (const Index groups : {1, 2, 4}) {
        check_gradient(
            text("group norm in ", groups, " groups"),
            [=](const auto& v) { return Tape::group_norm(v[0], v[1], v[2], groups, 1e-5); },
            {random_handle({2, 4, 3, 2}, 94, -2.0, 2.0), random_handle({4}, 95, 0.5, 1.5), random_handle({4}, 96)});
    }
}

TEST_CASE("gradients of upsampling") {
    check_gradient("upsampling", [](const auto& v) { return Tape::upsample_nearest2(v[0]); },
                   {random_handle({2, 2, 3, 2}, 97)});
}
