/// Stage 1B's chain of steps and its gradients against the reference, with and without codes hidden from some steps.

#include <doctest/doctest.h>
#include <optional>

#include "flowfar/flowmo/posttrain.hpp"

#include "golden_backend.hpp"
#include "golden_training.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

template <class C>
void check(const std::string& name, const std::string& parameters) {
    using Model = FlowMo<C, Autodiff<Tested>>;
    using Images = typename Model::Images;
    // Without hidden codes, gradients of all parameters are in a file of their own.
    const std::size_t plain = name.find("_nocfg");
    const auto gradients_file =
        plain == name.npos ? std::optional<Golden>() : Golden::find(name.substr(0, plain) + "_grads");
    const auto golden = Golden::find(name);
    if (!golden || (plain != name.npos && !gradients_file)) {
        return;
    }
    const Index batch = golden->extents("u_ts")[0];
    const Index steps = golden->extents("u_ts")[1] - 1;
    Model model;
    golden_parameters(parameters, model);
    const auto images = golden->template tensor<Images>("image");
    const auto noise = filled<Images>("flowmo.posttrain.0", images.extents());

    SampleChainDraws<float> draws;
    draws.steps = static_cast<decltype(draws.steps)>(steps);
    const std::vector<double> uniforms = golden->doubles("u_ts");
    for (std::size_t sample = 0; sample < static_cast<std::size_t>(batch); ++sample) {
        std::vector<float> row;
        for (std::size_t i = 0; i <= static_cast<std::size_t>(steps); ++i) {
            row.push_back(static_cast<float>(uniforms[sample * static_cast<std::size_t>(steps + 1) + i]));
        }
        const std::vector<float> times = SampleChainDraws<float>::times_of(row);
        draws.times.insert(draws.times.end(), times.begin(), times.end());
    }
    golden->close("ts_full", {{batch, steps + 1}, {draws.times.begin(), draws.times.end()}}, 1e-6);
    draws.keep.assign(static_cast<std::size_t>(batch * steps), 1.0F);
    if (golden->has("u_mask")) {
        const std::vector<double> masks = golden->doubles("u_mask");
        for (std::size_t i = 0; i < masks.size(); ++i) {
            draws.keep[i] = masks[i] > 0.1 ? 1.0F : 0.0F;
        }
    }

    const auto code_value = golden->template tensor<typename Model::CodeInputs>("code_with_mask");
    const typename Model::CodeInputs code(Autodiff<Tested>::leaf(code_value.handle().value));
    const std::vector<double> recorded = golden->doubles("z_steps");
    const auto sample = sample_chain(model, code, noise, draws, [&](Index i, const auto& t, const auto& z) {
        const auto host_z = host<Tested>(z.handle().value);
        const auto each = static_cast<std::ptrdiff_t>(host_z.values.size());
        const std::vector<double> expected(recorded.begin() + i * each, recorded.begin() + (i + 1) * each);
        check_error(text("z_steps ", i), relative_l2(host_z.values, expected), 1e-5);
        CHECK(t.extent(0) == batch);
    });
    golden->close("sample", sample, 2e-5);
    const auto loss = mean(square(sample - images)) * 0.5;
    golden->close("loss", loss, 2e-5);
    backward(loss);
    golden->close("grad_code", host<Tested>(code.handle().node->gradient), 1e-4);
    const Golden& source = gradients_file ? *gradients_file : *golden;
    int compared = 0;
    for (const auto& [parameter, gradient] : reference_gradients(model)) {
        const std::string key = "grad." + parameter;
        if (source.has(key)) {
            source.close(key, gradient, 1e-4);
            ++compared;
        }
    }
    CHECK(compared >= (gradients_file ? 50 : 5));
}

}  // namespace

TEST_CASE("a chain of random steps and its gradients, with and without codes hidden from single steps") {
    FlowMoPosttrainings::each([]<class R>() { check<typename R::Config>(R::name, R::parameters); });
}
