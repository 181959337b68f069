/// FlowMo's encoder against the reference, stream by stream; codes and tokens.

#include <algorithm>
#include <doctest/doctest.h>

#include "flowfar/flowmo/model.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "recordings.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

/// Streams after block `index`; −1 stands for the input projections.
template <class Sequence>
void check_streams(const Golden& golden, Index index, const Sequence* image, const Sequence* code) {
    const std::string stem = index < 0 ? "enc." : text("enc.block", index, ".");
    if (image != nullptr) {
        golden.close(stem + (index < 0 ? "img_in" : "img"), *image, 5e-6);
    }
    if (code != nullptr) {
        golden.close(stem + (index < 0 ? "txt_in" : "txt"), *code, 5e-6);
    }
}

template <class C>
void check_encoder(const std::string& name, const std::string& parameters) {
    using Model = FlowMo<C, Tested>;
    using Sequence = typename Model::Encoder::Sequence;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(parameters, model);
    const auto images = golden->tensor<typename Model::Images>("image");
    golden->close("image", filled<typename Model::Images>("input.image", images.extents()), 0.0);

    const auto last = static_cast<Index>(C::encoder.depth) - 1;
    const auto code = model.encode_observed(images, [&](Index i, const Sequence& x, const Sequence& c) {
        check_streams(*golden, i, i == last ? nullptr : &x, &c);  // nobody reads the last image stream
    });
    golden->close("code", code, 5e-6);

    // The reference computes the image stream to the end; so can we.
    const auto blank = Model::Codes::zeros(code.extents());
    const auto all =
        model.encoder.run(Model::patchify(images), blank, {}, model.geometry(C::image_height, C::image_width).encoder,
                          {}, [&](Index i, const Sequence& x, const Sequence& c) {
                              check_streams(*golden, i, i == last ? &x : nullptr, &c);
                          });
    golden->close("code", all.code, 5e-6);

    const Tokens tokens = model.encode(images);
    golden->equal("indices_eval", {tokens.indices.begin(), tokens.indices.end()});
    golden->close("quantized_eval", Model::Quantizer::quantize(code), 1e-7);
    golden->close("quantized_eval", Model::code_of(tokens), 1e-7);
    CHECK(golden->scalar("quantizer_loss_eval") == 0.0);  // ours is not computed outside training
}

}  // namespace

TEST_CASE("the encoder, stream by stream") {
    FlowMoEncoders::each([]<class R>() { check_encoder<typename R::Config>(R::name, R::parameters); });
}
