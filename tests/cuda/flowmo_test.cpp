// FlowMo on the CUDA backend against the CPU: what it encodes, decodes and learns.
#include "flowfar/flowmo/model.hpp"
#include "flowfar/flowmo/train.hpp"

#include "twin_model.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using OnCpu = FlowMo<FlowMoNano, Cpu>;
using OnCuda = FlowMo<FlowMoNano, Cuda>;

const OnCpu& cpu_model() {
    static const OnCpu model = noisy_model<OnCpu>(3);
    return model;
}

OnCpu::Images photos(Index count) {
    return clamp(OnCpu::Images::normal({count, 3, FlowMoNano::image_height, FlowMoNano::image_width}, 8) * 0.5, -1.0,
                 1.0);
}

template <class Model>
typename Model::Images images_for(const OnCpu::Images& images) {
    return typename Model::Images(moved<typename Model::Backend>(images.handle(), dtype_of<typename Model::Element>));
}

}  // namespace

TEST_CASE("cuda: FlowMo encodes to the same tokens and decodes to the same images") {
    OnCuda model;
    copy_parameters(model, cpu_model());
    const auto images = photos(2);
    const Tokens tokens = cpu_model().encode(images);
    CHECK(model.encode(images_for<OnCuda>(images)).indices == tokens.indices);
    for (const double guidance : {1.0, 1.5}) {
        const FlowMoDecodeOptions options{
            .steps = 3, .guidance = guidance, .interval = GuidanceInterval::always(), .seed = 7};
        const auto expected = host_values(cpu_model().decode(tokens, options));
        const auto found = model.decode(tokens, options);
        CHECK(difference_of(host_values(found), expected, approx::model_f32) == "");
        CHECK(model.decode(tokens, options).to_host() == found.to_host());
    }
}

TEST_CASE("cuda: FlowMo in bf16 decodes to nearly the same images") {
    using Narrow = FlowMo<FlowMoNano, Cuda, bf16>;
    Narrow model;
    copy_parameters(model, cpu_model());
    const Tokens tokens = cpu_model().encode(photos(2));
    const auto expected = host_values(cpu_model().decode(tokens, {.steps = 3, .seed = 7}));
    CHECK(difference_of(host_values(model.decode(tokens, {.steps = 3, .seed = 7})), expected, approx::model_bf16) ==
          "");
}

TEST_CASE("cuda: a training step of FlowMo moves the parameters as on the CPU") {
    FlowMoTrainOptions options;
    options.adam.learning_rate = 1e-3;
    options.adam.epsilon = 1e-2;  // makes steps nearly proportional to gradients
    options.clip = 1.0;
    options.ema_every = 1;
    const auto prepare = [](auto& model) { copy_parameters(model, cpu_model()); };
    FlowMoTrainer<FlowMoNano, Cpu> first(options, prepare);
    FlowMoTrainer<FlowMoNano, Cuda> second(options, prepare);
    const auto images = photos(2);
    for (int step = 0; step < 2; ++step) {
        const FlowMoTrainReport a = first.step(images);
        const FlowMoTrainReport b = second.step(images_for<OnCuda>(images));
        CHECK(b.loss == doctest::Approx(a.loss).epsilon(approx::model_f32));
        CHECK(b.gradient_norm == doctest::Approx(a.gradient_norm).epsilon(1e-4));
    }
    const auto expected = parameters(first.model());
    const auto found = parameters(second.model());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        INFO(expected[i].name);
        std::vector<float> a(static_cast<std::size_t>(expected[i].count()));
        std::vector<float> b(a.size());
        Cpu::to_host(expected[i].value(), a.data());
        Cuda::to_host(found[i].value(), b.data());
        CHECK(difference_of({b.begin(), b.end()}, {a.begin(), a.end()}, approx::model_f32) == "");
    }
}
