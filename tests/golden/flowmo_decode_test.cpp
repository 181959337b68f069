/// FlowMo's decoder against the reference: velocities with and without code, code read-out, streams, time vector.

#include <doctest/doctest.h>

#include "flowfar/flowmo/model.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "recordings.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

template <class C>
void check_decoder(const std::string& name, const std::string& parameters) {
    using Model = FlowMo<C, Tested>;
    using Sequence = typename Model::Decoder::Sequence;
    using Times = typename Model::Times;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(parameters, model);
    const auto z = golden->tensor<typename Model::Images>("z");
    const Index batch = z.extent(0);
    const auto code = golden->tensor<typename Model::CodeInputs>("code_with_mask");
    const auto signs = Model::Quantizer::quantize(
        filled<typename Model::Codes>("input.code", {batch, C::code_length, C::context_dim}));
    golden->close("code_with_mask", Model::with_mask(signs), 0.0);
    const auto table = model.geometry(C::image_height, C::image_width).decoder;

    for (const std::string time : {"0.05", "0.3", "0.7", "1.0"}) {
        const auto t = Times::full({batch}, std::stod(time));
        for (const std::string condition : {"cond", "null"}) {
            const std::string stem = "t" + time + "." + condition + ".";
            CAPTURE(stem);
            const bool observed = stem == "t0.7.cond.";
            const auto input = condition == "cond" ? code : Model::null_code(batch);
            golden->close(stem + "v", model.velocity(z, input, t), 1e-5);
            const auto vec = model.decoder.time_vector(t);
            const auto out = model.decoder.run(Model::patchify(z), input, vec, table, {},
                                               [&](Index i, const Sequence& x, const Sequence& c) {
                                                   if (observed && i < 0) {
                                                       golden->close("dec.t0.7.cond.img_in", x, 1e-5);
                                                       golden->close("dec.t0.7.cond.txt_in", c, 1e-5);
                                                   } else if (observed) {
                                                       const std::string block = text("dec.t0.7.cond.block", i, ".");
                                                       golden->close(block + "img", x, 1e-5);
                                                       golden->close(block + "txt", c, 1e-5);
                                                   }
                                               });
            if (observed) {
                golden->close("dec.t0.7.cond.vec", vec, 1e-5);
            }
            // The null code's rows are nearly constant, and the second layer norm enlarges what little they differ.
            golden->close(stem + "final_txt", out.code, condition == "cond" ? 1e-5 : 1e-4);
            golden->close(stem + "v", Model::unpatchify(out.image, C::image_height, C::image_width), 1e-5);
        }
    }
    const auto t = golden->tensor<Times>("per_sample_t");
    golden->close("per_sample_t", filled<Times>("input.t", {batch}, 0.5, 0.5), 0.0);
    golden->close("per_sample.v", model.velocity(z, code, t), 1e-5);
}

}  // namespace

TEST_CASE("the decoder") {
    FlowMoDecoders::each([]<class R>() { check_decoder<typename R::Config>(R::name, R::parameters); });
}
