/// FlowMo's stage-1 loss and all of its gradients against the reference.

#include <doctest/doctest.h>

#include "golden_backend.hpp"
#include "golden_training.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

template <class C>
void check_loss(const std::string& name, const std::string& parameters) {
    using Model = FlowMo<C, Autodiff<Tested>>;
    using Images = typename Model::Images;
    const auto golden = Golden::find(name);
    const auto recorded = Golden::find(name + "_grads");
    if (!golden || !recorded) {
        return;
    }
    Model model;
    golden_parameters(parameters, model);
    const auto images = golden->template tensor<Images>("image");
    const auto noise = filled<Images>("flowmo.train.3", images.extents());
    golden->close("z1", noise, 0.0);
    const Index batch = images.extent(0);
    const FlowMoDraws<float> draws = RecordedDraws(*golden).draws(0, batch);
    golden->close("t", {{batch}, {draws.times.begin(), draws.times.end()}}, 1e-6);
    const auto t = Model::Times::from_host(draws.times, {batch});
    golden->close("zt", rectified_flow::interpolate(images, noise, t), 1e-6);

    for (const bool recompute : {false, true}) {
        CAPTURE(recompute);
        model.checkpoint_blocks = recompute;
        const auto loss = flowmo_loss(model, images, noise, draws);
        golden->close("original_code", loss.code, 1e-5);
        golden->close("decoder_code_in", loss.code_input, 1e-7);
        golden->close("v", loss.velocity, 1e-5);
        golden->close("x_pred", loss.prediction, 1e-5);
        golden->close("diffusion_loss", loss.flow, 5e-6);
        golden->close("quantizer_loss", loss.quantizer.total, 2e-5);
        golden->close("total_loss", loss.total, 5e-6);
        golden->close("train_step.loss", loss.total, 5e-6);
        backward(loss.total);

        const auto gradients = reference_gradients(model);
        check_error("grad_norm_all", std::abs(norm(gradients) / golden->scalar("grad_norm_all") - 1.0), 1e-5);
        std::set<std::string> without;
        double squares = 0;
        for_each_parameter(model, [&](const auto& p) {
            const auto found = gradients.find(p.name);
            if (found == gradients.end()) {
                without.insert(p.name);
                return;
            }
            recorded->close("grad." + p.name, found->second, 1e-4);
            const double own = norm(host<Tested>(p.value()).values);
            squares += own * own;
            p.clear_gradient();
        });
        const auto expected = golden->names("config", "params_without_grad");
        CHECK(without == std::set<std::string>(expected.begin(), expected.end()));
        check_error("param_norm_with_grad", std::abs(std::sqrt(squares) / golden->scalar("param_norm_with_grad") - 1.0),
                    1e-6);
    }
}

template <class C>
void check_frozen(const std::string& name, const std::string& parameters) {
    using Model = FlowMo<C, Autodiff<Tested>>;
    using Images = typename Model::Images;
    const auto golden = Golden::find(name);
    const auto recorded = Golden::find(name + "_grads");
    if (!golden || !recorded) {
        return;
    }
    Model model;
    golden_parameters(parameters, model);
    const auto images = golden->tensor<Images>("image");
    const auto loss = flowmo_loss(model, images, golden->tensor<Images>("z1"),
                                  RecordedDraws(*golden).draws(0, images.extent(0)), NoPerceptualLoss{}, true);
    golden->close("quantizer_loss", loss.quantizer.total, 2e-5);
    golden->close("diffusion_loss", loss.total, 5e-6);  // the quantizer's part is reported, not trained
    backward(loss.total);
    for_each_parameter(model, [&](const auto& p) {
        CAPTURE(p.name);
        if (p.name.starts_with("encoder.")) {
            CHECK(!p.gradient().defined());
        } else if (p.gradient().defined()) {
            recorded->close("grad." + p.name, host<Tested>(p.gradient()), 1e-4);  // the quantizer never reaches these
        }
    });
}

}  // namespace

TEST_CASE("loss and gradients") {
    FlowMoTrainings::each([]<class R>() { check_loss<typename R::Config>(R::name, R::parameters); });
}
TEST_CASE("a frozen encoder gets no gradient") {
    FlowMoTrainings::each([]<class R>() { check_frozen<typename R::Config>(R::name, R::parameters); });
}
