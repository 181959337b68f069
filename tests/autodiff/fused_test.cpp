#include <doctest/doctest.h>

#include "flowfar/core/ops.hpp"

#include "gradient_check.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("gradients of layer norm and RMS norm") {
    for (const Extents& e : {Extents{6}, Extents{3, 6}, Extents{2, 3, 6}, Extents{2, 2, 2, 6}, Extents{0, 2, 6}}) {
        const Handle x = random_handle(e, 71, -2.0, 2.0);
        for (const bool plus_one : {false, true}) {
            const NormOptions options{.epsilon = 1e-5, .plus_one = plus_one};
            const std::string name = text("norm of ", e, plus_one ? ", plus one" : "");
            const Tracked64 none;
            check_gradient(name + ", plain", [=](const auto& v) { return Tape::layer_norm(v[0], none, none, options); },
                           {x});
            check_gradient(name + ", RMS, plain", [=](const auto& v) { return Tape::rms_norm(v[0], none, options); },
                           {x});
            std::vector<Extents> operands{{6}};
            if (e.rank() > 1) {
                operands.push_back({e[0], 6});
                operands.push_back({1, 6});
            }
            for (const Extents& o : operands) {
                const Handle scale = random_handle(o, 72, 0.5, 1.5);
                const Handle shift = random_handle(o, 73);
                check_gradient(name + ", scale and shift",
                               [=](const auto& v) { return Tape::layer_norm(v[0], v[1], v[2], options); },
                               {x, scale, shift});
                check_gradient(name + ", scale",
                               [=](const auto& v) { return Tape::layer_norm(v[0], v[1], none, options); }, {x, scale});
                check_gradient(name + ", shift",
                               [=](const auto& v) { return Tape::layer_norm(v[0], none, v[1], options); }, {x, shift});
                check_gradient(name + ", RMS", [=](const auto& v) { return Tape::rms_norm(v[0], v[1], options); },
                               {x, scale});
            }
        }
    }
}

TEST_CASE("gradients of norms of views, modulated by slices") {
    check_gradient("modulation",
                   [](const auto& v) {
                       const auto x = Tape::permute(v[0], {1, 0, 2});
                       const auto part = [&](Index i) { return Tape::slice(v[1], 1, 4 * i, 4 * i + 4); };
                       return Tape::layer_norm(x, part(1), part(0), {.plus_one = true});
                   },
                   {random_handle({3, 2, 4}, 74), random_handle({2, 12}, 75)});
}

TEST_CASE("gradients of modulated layer norm, and of products added through a gate") {
    for (const Extents& e : {Extents{4}, Extents{2, 4}}) {
        const Handle x = random_handle({2, 3, 4}, 171, -2.0, 2.0);
        check_gradient(
            text("modulated by ", e),
            [](const auto& v) { return Tape::modulated_layer_norm(v[0], v[1], v[2], v[3], v[4], {}); },
            {x, random_handle({4}, 172), random_handle({4}, 173), random_handle(e, 174), random_handle(e, 175)});
        check_gradient(text("added through ", e),
                       [](const auto& v) { return Tape::gemm_add(v[0], v[1], v[2], v[3], v[4], {}); },
                       {x, random_handle(e, 176), random_handle({2, 3, 5}, 177), random_handle({5, 4}, 178),
                        random_handle({4}, 179)});
    }
}

TEST_CASE("gradients of rotary embedding") {
    const Tracked64 cos = Tape::constant(random_handle({3, 2}, 76));
    const Tracked64 sin = Tape::constant(random_handle({3, 2}, 77));
    for (const Rotation rotation : {Rotation::forward, Rotation::inverse}) {
        check_gradient("rope", [&](const auto& v) { return Tape::rope(v[0], cos, sin, rotation); },
                       {random_handle({2, 2, 3, 4}, 78)});
    }
}

TEST_CASE("gradients of attention") {
    struct Size {
        Index queries, keys;
    };
    for (const MaskKind mask : {MaskKind::full, MaskKind::causal}) {
        for (const Size s : {Size{1, 1}, {3, 4}, {4, 4}, {5, 3}, {3, 0}, {0, 3}}) {
            check_gradient(text("attention, ", s.queries, " queries, ", s.keys, " keys"),
                           [=](const auto& v) { return Tape::attention(v[0], v[1], v[2], 0.6, mask).output; },
                           {random_handle({2, 2, s.queries, 3}, 79), random_handle({2, 2, s.keys, 3}, 80),
                            random_handle({2, 2, s.keys, 3}, 81)});
        }
        check_gradient("attention on one packed operand",
                       [=](const auto& v) {
                           const auto packed = Tape::permute(Tape::reshape(v[0], {1, 4, 3, 2, 2}), {2, 0, 3, 1, 4});
                           const auto part = [&](Index i) {
                               return Tape::reshape(Tape::slice(packed, 0, i, i + 1), {1, 2, 4, 2});
                           };
                           return Tape::attention(part(0), part(1), part(2), 0.6, mask).output;
                       },
                       {random_handle({1, 4, 12}, 82)});
    }
}

TEST_CASE("gradients of attention whose queries share keys, and of attention with a bias") {
    using Heads = Tensor<Tape, Shape<dyn, dyn, dyn, 3>, double>;
    using Bias = Tensor<Tape, Shape<dyn, 1, dyn, dyn>, double>;
    const std::vector<Handle> operands{random_handle({2, 4, 3, 3}, 83), random_handle({2, 2, 5, 3}, 84),
                                       random_handle({2, 2, 5, 3}, 85), random_handle({2, 1, 3, 5}, 86)};
    for (const MaskKind mask : {MaskKind::full, MaskKind::causal}) {
        check_gradient(
            "shared keys",
            [=](const auto& v) { return attention(Heads(v[0]), Heads(v[1]), Heads(v[2]), 0.6, mask).handle(); },
            {operands[0], operands[1], operands[2]});
        const std::vector<Index> flags{1, 0, 1, 1, 0, 1, 1, 0, 0, 1};
        const auto keys = KeyMask<Tape>::from_host(flags, {2, 5});
        check_gradient(
            "hidden keys",
            [=](const auto& v) { return attention(Heads(v[0]), Heads(v[1]), Heads(v[2]), 0.6, mask, keys).handle(); },
            {operands[0], operands[1], operands[2]});
    }
    check_gradient(
        "bias",
        [](const auto& v) { return biased_attention(Heads(v[0]), Heads(v[1]), Heads(v[2]), Bias(v[3]), 0.6).handle(); },
        {random_handle({2, 2, 3, 3}, 83), operands[1], operands[2], operands[3]});
}
