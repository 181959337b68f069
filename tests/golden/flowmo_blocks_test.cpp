/// FlowMo's double-stream block and read-out against the reference, with all their gradients.

#include <doctest/doctest.h>

#include "flowfar/flowmo/mmdit.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using A = Autodiff<Tested>;
using Block = DoubleBlock<A, 64, 2, float>;
using Readout = FinalLayer<A, 64, 48, float>;

const std::string units = "flowmo_units";

Block::Table table() {
    std::vector<std::array<Index, 3>> ids;
    for (Index n = 0; n < 16; ++n) {
        ids.push_back({n, n, n});
    }
    for (Index n = 0; n < 64; ++n) {
        ids.push_back({0, n / 8, n % 8});
    }
    const std::array<Index, 3> axes{4, 14, 14};
    return rope_table<A, 32, float>(axes, std::span<const std::array<Index, 3>>(ids));
}

template <AnyTensor X>
auto weighted(const std::string& cotangent, const X& out) {
    return sum(out * filled<X>(cotangent, out.extents()));
}

/// Gradients of all parameters; the recorded names lack the module's prefix.
template <class Module>
void check_gradients(const Golden& golden, const std::string& unit, Module& module, double bound) {
    for_each_parameter(module, [&](const auto& p) {
        CAPTURE(p.name);
        REQUIRE(p.gradient().defined());
        golden.close(unit + ".grad.param." + p.name, host<Tested>(p.gradient()), bound);
    });
}

}  // namespace

TEST_CASE("double-stream block with a time vector") {
    const auto golden = Golden::find(units);
    if (!golden) {
        return;
    }
    Block block;
    golden_parameters(units, block, "block");
    const auto image = leaf(golden->tensor<Block::Sequence>("double_block.vec.img"));
    const auto code = leaf(golden->tensor<Block::Sequence>("double_block.vec.txt"));
    const auto vec = leaf(golden->tensor<Block::Vector>("double_block.vec.vec"));
    const auto [x, c] = block(image, code, vec, table());
    golden->close("double_block.vec.out0", x, 2e-6);
    golden->close("double_block.vec.out1", c, 2e-6);
    backward(weighted("double_block.vec.cotangent0", x) + weighted("double_block.vec.cotangent1", c));
    golden->close("double_block.vec.grad.img", gradient(image), 5e-6);
    golden->close("double_block.vec.grad.txt", gradient(code), 5e-6);
    golden->close("double_block.vec.grad.vec", gradient(vec), 5e-6);
    check_gradients(*golden, "double_block.vec", block, 1e-5);
}

TEST_CASE("double-stream block without a time vector") {
    const auto golden = Golden::find(units);
    if (!golden) {
        return;
    }
    Block block;
    golden_parameters(units, block, "block");
    const auto image = leaf(golden->tensor<Block::Sequence>("double_block.novec.img"));
    const auto code = leaf(golden->tensor<Block::Sequence>("double_block.novec.txt"));
    const auto [x, c] = block(image, code, {}, table());
    golden->close("double_block.novec.out0", x, 2e-6);
    golden->close("double_block.novec.out1", c, 2e-6);
    backward(weighted("double_block.novec.cotangent0", x) + weighted("double_block.novec.cotangent1", c));
    golden->close("double_block.novec.grad.img", gradient(image), 5e-6);
    golden->close("double_block.novec.grad.txt", gradient(code), 5e-6);
}

TEST_CASE("a stream that nobody reads changes nothing in the other") {
    const auto golden = Golden::find(units);
    if (!golden) {
        return;
    }
    Block block;
    golden_parameters(units, block, "block");
    const auto image = golden->tensor<Block::Sequence>("double_block.vec.img");
    const auto code = golden->tensor<Block::Sequence>("double_block.vec.txt");
    const auto vec = golden->tensor<Block::Vector>("double_block.vec.vec");
    golden->close("double_block.vec.out0", block(image, code, vec, table(), {.image = true, .code = false}).first,
                  2e-6);
    golden->close("double_block.vec.out1", block(image, code, vec, table(), {.image = false, .code = true}).second,
                  2e-6);
}

TEST_CASE("read-out") {
    const auto golden = Golden::find(units);
    if (!golden) {
        return;
    }
    using X = Tensor<A, Shape<dyn, dyn, 64>>;
    Readout with;
    golden_parameters(units, with, "last");
    const auto x = leaf(golden->tensor<X>("last_layer.vec.x"));
    const auto vec = leaf(golden->tensor<Readout::Vector>("last_layer.vec.vec"));
    const auto y = with(x, vec);
    golden->close("last_layer.vec.out0", y, 2e-6);
    backward(weighted("last_layer.vec.cotangent0", y));
    golden->close("last_layer.vec.grad.x", gradient(x), 5e-6);
    golden->close("last_layer.vec.grad.vec", gradient(vec), 5e-6);
    check_gradients(*golden, "last_layer.vec", with, 5e-6);

    Readout without;
    golden_parameters(units, without, "last");
    const auto x0 = leaf(golden->tensor<X>("last_layer.novec.x"));
    const auto y0 = without(x0, {});
    golden->close("last_layer.novec.out0", y0, 2e-6);
    backward(weighted("last_layer.novec.cotangent0", y0));
    golden->close("last_layer.novec.grad.x", gradient(x0), 5e-6);
    golden->close("last_layer.novec.grad.param.linear.weight", gradient(without.linear.weight), 5e-6);
    golden->close("last_layer.novec.grad.param.linear.bias", gradient(without.linear.bias), 5e-6);
    CHECK(!gradient(without.modulation.weight).defined());
}
