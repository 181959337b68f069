/// Stage 1B's chain of steps and its gradients against the reference, with and without codes hidden from some steps.

#include <algorithm>
#include <doctest/doctest.h>

#include "flowfar/flowmo/posttrain.hpp"

#include "golden_backend.hpp"
#include "golden_training.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Model = FlowMo<Micro, Autodiff<Tested>>;
using Images = Model::Images;
constexpr Index batch = 2;
constexpr Index steps = 4;

void check(const std::string& case_name, bool hides_codes, const Golden* gradients_file) {
    const auto golden = Golden::find(case_name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(case_name, model);
    const auto images = golden->tensor<Images>("image");
    const auto noise = filled<Images>("flowmo.posttrain.0", images.extents());

    SampleChainDraws<float> draws;
    draws.steps = steps;
    const std::vector<double> uniforms = golden->doubles("u_ts");
    for (std::size_t sample = 0; sample < batch; ++sample) {
        std::vector<float> row;
        for (std::size_t i = 0; i <= steps; ++i) {
            row.push_back(static_cast<float>(uniforms[sample * (steps + 1) + i]));
        }
        const std::vector<float> times = SampleChainDraws<float>::times_of(row);
        draws.times.insert(draws.times.end(), times.begin(), times.end());
    }
    golden->close("ts_full", {{batch, steps + 1}, {draws.times.begin(), draws.times.end()}}, 1e-6);
    draws.keep.assign(batch * steps, 1.0F);
    if (hides_codes) {
        const std::vector<double> masks = golden->doubles("u_mask");
        for (std::size_t i = 0; i < masks.size(); ++i) {
            draws.keep[i] = masks[i] > 0.1 ? 1.0F : 0.0F;
        }
    }

    const auto code_value = golden->tensor<Model::CodeInputs>("code_with_mask");
    const Model::CodeInputs code(Autodiff<Tested>::leaf(code_value.handle().value));
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
    const Golden& source = gradients_file != nullptr ? *gradients_file : *golden;
    int compared = 0;
    for (const auto& [name, gradient] : reference_gradients(model)) {
        const std::string key = "grad." + name;
        if (std::ranges::find(source.tensors(), key) != source.tensors().end()) {
            source.close(key, gradient, 1e-4);
            ++compared;
        }
    }
    CHECK(compared >= (gradients_file != nullptr ? 50 : 5));
}

}  // namespace

TEST_CASE("a chain of random steps and its gradients") {
    if (const auto gradients = Golden::find("flowmo_micro_posttrain_grads")) {
        check("flowmo_micro_posttrain_nocfg", false, &*gradients);
    }
}

TEST_CASE("codes hidden from single steps") {
    check("flowmo_micro_posttrain_cfg", true, nullptr);
}
