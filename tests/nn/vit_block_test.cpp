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

TEST_CASE("causal and block-causal tokens are what shorter sequences give") {
    const Block block = make();
    const Sequence x(Tape::constant(random_handle({2, 6, 8}, 1)));
    const Index ends[] = {2, 3, 6};
    const Visibility causal{MaskKind::causal, {}};
    const Visibility blocks{MaskKind::full, ends};
    const auto prefix = [&](Index tokens, const Visibility& seen) {
        return block(Sequence(slice<1>(x, 0, tokens)), tokens - 1, {}, seen).to_host();  // its last token
    };
    const auto one = block(x, 0, {}, causal);
    const auto some = block(x, 0, {}, blocks);
    for (Index i = 0; i < 6; ++i) {
        CHECK(difference_of(slice<1>(one, i, i + 1).to_host(), prefix(i + 1, {}), 1e-12) == "");
    }
    for (const Index end : ends) {
        CHECK(difference_of(slice<1>(some, end - 1, end).to_host(), prefix(end, {}), 1e-12) == "");
    }
    for (const Visibility& seen : {causal, blocks}) {
        const auto all = block(x, 0, {}, seen);
        for (const Index skip : {1, 2, 4}) {  // a block in part
            CHECK(difference_of(block(x, skip, {}, seen).to_host(), slice<1>(all, skip, 6).to_host(), 1e-12) == "");
        }
        // The unfused path of attention dropout.
        CHECK(difference_of(block(x, 1, {1e-12, 0.0, 4}, seen).to_host(), slice<1>(all, 1, 6).to_host(), 1e-9) == "");
    }
    CHECK_THROWS_WITH_AS(static_cast<void>(block(x, 0, {}, {MaskKind::full, std::span(ends).first(2)})),
                         "block-causal attention: the blocks end at 3, expected 6 keys", Error);
    const Index falling[] = {3, 2, 6};
    CHECK_THROWS_WITH_AS(static_cast<void>(block(x, 0, {}, {MaskKind::full, falling})),
                         "block-causal attention: a block ends at 2, expected more than 3", Error);
}

TEST_CASE("gradients of causal and block-causal attention") {
    Block block = make();
    for_each_parameter(block, [](const auto& p) { p.handle->node.reset(); });  // only the input is a variable
    const Index ends[] = {1, 4};
    for (const Visibility& seen : {Visibility{MaskKind::causal, {}}, Visibility{MaskKind::full, ends}}) {
        for (const double rate : {0.0, 0.3}) {
            check_gradient("masked block",
                           [&](const auto& in) { return block(Sequence(in[0]), 1, {rate, rate, 9}, seen).handle(); },
                           {random_handle({1, 4, 8}, 2)});
        }
    }
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
