/// Gradients of FlowMo's training loss against recorded statistics: accumulation over chunks, and 12 heads.

#include <doctest/doctest.h>

#include "golden_backend.hpp"
#include "golden_training.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

template <class C>
void check_accumulation(const std::string& name, const std::string& parameters) {
    using Model = FlowMo<C, Autodiff<Tested>>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(parameters, model);
    const auto images = golden->tensor<typename Model::Images>("image");
    const Index size = images.extent(0) / 2;
    const RecordedDraws recorded(*golden);
    double total = 0;
    for (const Index chunk : {0, 1}) {
        const Index begin = size * chunk;
        const auto part = slice<0>(images, begin, begin + size);
        const auto noise = filled<typename Model::Images>(text("flowmo.accum.", 5 * chunk + 3), part.extents());
        const auto loss = flowmo_loss(model, part, noise, recorded.draws(begin, begin + size));
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

template <class C>
void check_statistics(const std::string& name, const std::string& parameters) {
    using Model = FlowMo<C, Autodiff<Tested>>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(parameters, model);
    const auto images = golden->tensor<typename Model::Images>("image");
    const auto noise = filled<typename Model::Images>("flowmo.train.3", images.extents());
    const Index batch = images.extent(0);
    const FlowMoDraws<float> draws = RecordedDraws(*golden).draws(0, batch);
    golden->close("t", {{batch}, {draws.times.begin(), draws.times.end()}}, 1e-6);
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

}  // namespace

TEST_CASE("gradients accumulate over two chunks") {
    FlowMoAccumulations::each([]<class R>() { check_accumulation<typename R::Config>(R::name, R::parameters); });
}
TEST_CASE("gradients by their norms, sums and first elements") {
    FlowMoGradientStatistics::each([]<class R>() { check_statistics<typename R::Config>(R::name, R::parameters); });
}
