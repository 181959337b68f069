/// Dropout and the vision transformer block beyond what the recorded models show.

#include "flowfar/nn/vit_block.hpp"

#include <doctest/doctest.h>

#include "gradient_check.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Block = VitBlock<Tape, 8, 2, double>;
using Sequence = Block::Sequence;

Block make() {
    Block block;
    block.initialize(11);
    for_each_parameter(block, [](const auto& p) {
        if (p.name.ends_with("bias")) {  // zeros would hide errors
            Reference::assign(p.value(), random_handle(p.extents(), 5, -0.2, 0.2));
        }
    });
    return block;
}

}  // namespace

TEST_CASE("dropout keeps the mean, and its mask is a function of the seed") {
    using X = Tensor<Reference, Shape<dyn>>;
    const X ones = X::full({20000}, 1.0);
    const Dropout dropout{0.25, 3};
    const std::vector<float> y = dropout(ones).to_host();
    double zeros = 0;
    for (const float value : y) {
        const bool kept = value == 1.0F / 0.75F;
        CHECK((value == 0.0F || kept));
        zeros += kept ? 0 : 1;
    }
    CHECK(zeros / 20000 == doctest::Approx(0.25).epsilon(0.05));
    CHECK(dropout(ones).to_host() == y);
    CHECK(dropout.at("elsewhere")(ones).to_host() != y);
    CHECK(Dropout{}(ones).to_host() == ones.to_host());
    CHECK_THROWS_AS(static_cast<void>(Dropout{1.0, 0}(ones)), Error);
}

TEST_CASE("skipped tokens are attended to but not computed") {
    const Block block = make();
    const Sequence x(Tape::constant(random_handle({2, 5, 8}, 1)));
    const auto all = slice<1>(block(x), 2, 5).to_host();
    CHECK(difference_of(block(x, 2).to_host(), all, 1e-12) == "");
    CHECK(block(slice<1>(x, 0, 0)).extents() == Extents{2, 0, 8});  // an empty sequence stays empty
}

TEST_CASE("attention dropout: the unfused path agrees with the fused one") {
    const Block block = make();
    const Sequence x(Tape::constant(random_handle({2, 5, 8}, 1)));
    const auto fused = block(x).to_host();
    CHECK(difference_of(block(x, 0, {1e-12, 0.0, 4}).to_host(), fused, 1e-9) == "");
    CHECK(difference_of(block(x, 0, {0.5, 0.0, 4}).to_host(), fused, 1e-3) != "");
    CHECK(difference_of(block(x, 0, {0.0, 0.5, 4}).to_host(), fused, 1e-3) != "");
    CHECK(block(x, 0, {0.5, 0.5, 4}).to_host() == block(x, 0, {0.5, 0.5, 4}).to_host());
}

TEST_CASE("gradients through dropout") {
    Block block = make();
    for_each_parameter(block, [](const auto& p) { p.handle->node.reset(); });  // only the input is a variable
    for (const Index skip : {0, 1}) {
        check_gradient("block with dropout",
                       [&](const auto& in) { return block(Sequence(in[0]), skip, {0.3, 0.3, 9}).handle(); },
                       {random_handle({1, 3, 8}, 2)});
    }
}
