/// Gradients of FlowMo's training loss against recorded statistics: accumulation over chunks, and 12 heads.

#include <doctest/doctest.h>

#include "golden_backend.hpp"
#include "golden_training.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("gradients accumulate over two chunks") {
    using Model = FlowMo<Micro, Autodiff<Tested>>;
    const auto golden = Golden::find("flowmo_micro_train_accum2");
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters("flowmo_micro_train_accum2", model);
    const auto images = golden->tensor<Model::Images>("image");
    double total = 0;
    for (const std::size_t chunk : {0U, 1U}) {
        const auto begin = static_cast<Index>(2 * chunk);
        const auto part = slice<0>(images, begin, begin + 2);
        const auto noise = filled<Model::Images>(text("flowmo.accum.", 5 * chunk + 3), part.extents());
        const auto loss = flowmo_loss(model, part, noise, RecordedDraws::draws(2 * chunk, 2 * chunk + 2));
        total += static_cast<double>(loss.total.item()) / 2;
        if (chunk == 1) {
            golden->close("last_chunk.diffusion_loss", loss.flow, 5e-6);
            golden->close("last_chunk.quantizer_loss", loss.quantizer.total, 2e-5);
        }
        backward(loss.total, 0.5);
    }
    golden->close("total_loss", {{1}, {total}}, 5e-6);
    const auto gradients = reference_gradients(model);
    check_error("grad_norm_all", std::abs(norm(gradients) / golden->scalar("grad_norm_all") - 1.0), 1e-5);
    check_gradient_statistics(*golden, gradients);
    for (const std::string name :
         {"encoder.img_in.weight", "encoder.double_blocks.0.img_attn.qkv.bias",
          "decoder.double_blocks.0.img_attn.qkv.bias", "decoder.final_layer_img.linear.weight"}) {
        golden->close("grad." + name, gradients.at(name), 1e-4);
    }
}

TEST_CASE("gradients of a model with 12 heads") {
    using Model = FlowMo<TinyA, Autodiff<Tested>>;
    const auto golden = Golden::find("flowmo_tiny_train_gradstats");
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters("flowmo_tiny_encode_a", model);
    const auto images = golden->tensor<Model::Images>("image");
    const auto noise = filled<Model::Images>("flowmo.train.3", images.extents());
    const FlowMoDraws<float> draws = RecordedDraws::draws(0, 2);
    golden->close("t", {{2}, {draws.times.begin(), draws.times.end()}}, 1e-6);
    const auto loss = flowmo_loss(model, images, noise, draws);
    golden->close("v", loss.velocity, 1e-5);
    golden->close("diffusion_loss", loss.flow, 5e-6);
    golden->close("quantizer_loss", loss.quantizer.total, 2e-5);
    golden->close("total_loss", loss.total, 5e-6);
    backward(loss.total);

    const auto gradients = reference_gradients(model);
    check_gradient_statistics(*golden, gradients);
    const std::vector<std::string> names = golden->names("grad_names");
    const std::vector<double> heads = golden->doubles("grad_head8");
    for (std::size_t i = 0; i < names.size(); ++i) {
        const std::span<const double> want = std::span(heads).subspan(8 * i, 8);
        check_error(names[i] + " head", relative_l2(std::span(gradients.at(names[i]).values).first(8), want), 1e-3);
    }
}
