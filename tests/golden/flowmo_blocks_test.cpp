/// FlowMo's double-stream block and read-out against the reference, with all their gradients.

#include <doctest/doctest.h>

#include "flowfar/flowmo/mmdit.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "recordings.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using A = Autodiff<Tested>;

template <class R>
using BlockOf = DoubleBlock<A, R::Config::hidden, R::Config::heads, float>;

template <class R>
auto table() {
    const auto ids = R::Config::positions();
    return rope_table<A, R::Config::head_size, float>(R::Config::axes, std::span<const std::array<Index, 3>>(ids));
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

template <class R>
void check_block() {
    using Block = BlockOf<R>;
    const auto golden = Golden::find(R::name);
    if (!golden) {
        return;
    }
    Block block;
    golden_parameters(R::parameters, block, "block");
    const auto image = leaf(golden->template tensor<typename Block::Sequence>("double_block.vec.img"));
    const auto code = leaf(golden->template tensor<typename Block::Sequence>("double_block.vec.txt"));
    const auto vec = leaf(golden->template tensor<typename Block::Vector>("double_block.vec.vec"));
    const auto [x, c] = block(image, code, vec, table<R>());
    golden->close("double_block.vec.out0", x, 2e-6);
    golden->close("double_block.vec.out1", c, 2e-6);
    backward(weighted("double_block.vec.cotangent0", x) + weighted("double_block.vec.cotangent1", c));
    golden->close("double_block.vec.grad.img", gradient(image), 5e-6);
    golden->close("double_block.vec.grad.txt", gradient(code), 5e-6);
    golden->close("double_block.vec.grad.vec", gradient(vec), 5e-6);
    check_gradients(*golden, "double_block.vec", block, 1e-5);
}

template <class R>
void check_block_without_time() {
    using Block = BlockOf<R>;
    const auto golden = Golden::find(R::name);
    if (!golden) {
        return;
    }
    Block block;
    golden_parameters(R::parameters, block, "block");
    const auto image = leaf(golden->template tensor<typename Block::Sequence>("double_block.novec.img"));
    const auto code = leaf(golden->template tensor<typename Block::Sequence>("double_block.novec.txt"));
    const auto [x, c] = block(image, code, {}, table<R>());
    golden->close("double_block.novec.out0", x, 2e-6);
    golden->close("double_block.novec.out1", c, 2e-6);
    backward(weighted("double_block.novec.cotangent0", x) + weighted("double_block.novec.cotangent1", c));
    golden->close("double_block.novec.grad.img", gradient(image), 5e-6);
    golden->close("double_block.novec.grad.txt", gradient(code), 5e-6);
}

template <class R>
void check_unread() {
    using Block = BlockOf<R>;
    const auto golden = Golden::find(R::name);
    if (!golden) {
        return;
    }
    Block block;
    golden_parameters(R::parameters, block, "block");
    const auto image = golden->template tensor<typename Block::Sequence>("double_block.vec.img");
    const auto code = golden->template tensor<typename Block::Sequence>("double_block.vec.txt");
    const auto vec = golden->template tensor<typename Block::Vector>("double_block.vec.vec");
    golden->close("double_block.vec.out0", block(image, code, vec, table<R>(), {.image = true, .code = false}).first,
                  2e-6);
    golden->close("double_block.vec.out1", block(image, code, vec, table<R>(), {.image = false, .code = true}).second,
                  2e-6);
}

template <class R>
void check_readout() {
    using Readout = FinalLayer<A, R::Config::hidden, R::Config::patch_dim, float>;
    const auto golden = Golden::find(R::name);
    if (!golden) {
        return;
    }
    using X = Tensor<A, Shape<dyn, dyn, R::Config::hidden>>;
    Readout with;
    golden_parameters(R::parameters, with, "last");
    const auto x = leaf(golden->template tensor<X>("last_layer.vec.x"));
    const auto vec = leaf(golden->template tensor<typename Readout::Vector>("last_layer.vec.vec"));
    const auto y = with(x, vec);
    golden->close("last_layer.vec.out0", y, 2e-6);
    backward(weighted("last_layer.vec.cotangent0", y));
    golden->close("last_layer.vec.grad.x", gradient(x), 5e-6);
    golden->close("last_layer.vec.grad.vec", gradient(vec), 5e-6);
    check_gradients(*golden, "last_layer.vec", with, 5e-6);

    Readout without;
    golden_parameters(R::parameters, without, "last");
    const auto x0 = leaf(golden->template tensor<X>("last_layer.novec.x"));
    const auto y0 = without(x0, {});
    golden->close("last_layer.novec.out0", y0, 2e-6);
    backward(weighted("last_layer.novec.cotangent0", y0));
    golden->close("last_layer.novec.grad.x", gradient(x0), 5e-6);
    golden->close("last_layer.novec.grad.param.linear.weight", gradient(without.linear.weight), 5e-6);
    golden->close("last_layer.novec.grad.param.linear.bias", gradient(without.linear.bias), 5e-6);
    CHECK(!gradient(without.modulation.weight).defined());
}

}  // namespace

TEST_CASE("double-stream block with a time vector") {
    FlowMoUnits::each([]<class R>() { check_block<R>(); });
}
TEST_CASE("double-stream block without a time vector") {
    FlowMoUnits::each([]<class R>() { check_block_without_time<R>(); });
}
TEST_CASE("a stream that nobody reads changes nothing in the other") {
    FlowMoUnits::each([]<class R>() { check_unread<R>(); });
}
TEST_CASE("read-out") {
    FlowMoUnits::each([]<class R>() { check_readout<R>(); });
}
