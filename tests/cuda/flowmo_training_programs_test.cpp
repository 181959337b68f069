// What flowmo_train does with --device: the run-time interface of training, on the GPU as on the CPU.
#include <doctest/doctest.h>

#include "../../examples/programs/common/models/flowmo_model_impl.hpp"
#include "../../examples/programs/common/training/any_flowmo_training.hpp"
#include "../../examples/programs/common/training/flowmo_training_impl.hpp"
#include "temp_dir.hpp"
#include "twin_model.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace program = flowfar::program;

/// The programs' own (perceptual_impl.hpp) knows networks, too, and takes long to compile.
template <class B>
program::ChosenPerceptual<B> program::make_perceptual(const PerceptualChoice& choice) {
    using Images = typename ChosenPerceptual<B>::Images;
    require(choice.name == "gradient", "not in this test: ", choice.name);
    return {choice.weight, [](const Images& x, const Images& prediction) {
                return typename ChosenPerceptual<B>::Scalar(MultiScaleGradientLoss<>()(x, prediction));
            }};
}

namespace {

template <class B>
struct Trained {
    std::unique_ptr<program::AnyFlowMoTraining> training;
    std::unique_ptr<program::AnyFlowMo> average = program::make_flowmo<FlowMoNano, B, float>();

    explicit Trained(const program::FlowMoTrainingSettings& settings)
        : training(program::make_flowmo_training<FlowMoNano, B, true>(settings)) {
        training->lend_to(*average);
    }
};

}  // namespace

TEST_CASE("a training step on the GPU is one on the CPU, and its state goes from one to the other") {
    const TempDir folder;
    program::FlowMoTrainingSettings settings;
    settings.options.adam.learning_rate = 1e-3;
    settings.options.adam.epsilon = 1e-2;  // makes steps nearly proportional to gradients
    settings.options.ema_every = 1;
    settings.options.seed = 5;
    settings.perceptual = {"gradient", 0.1, {}};
    Trained<Cpu> on_cpu(settings);
    Trained<Cuda> on_gpu(settings);
    const std::vector<float> photos =
        clamp(FlowMo<FlowMoNano, Cpu>::Images::normal({2, 3, 16, 16}, 8) * 0.5, -1.0, 1.0).to_host();
    const FlowMoTrainReport a = on_cpu.training->step(photos);
    const FlowMoTrainReport b = on_gpu.training->step(photos);
    CHECK(b.loss == doctest::Approx(a.loss).epsilon(approx::model_f32));
    CHECK(a.perceptual > 0.0);
    CHECK(b.perceptual == doctest::Approx(a.perceptual).epsilon(approx::model_f32));
    CHECK(b.gradient_norm == doctest::Approx(a.gradient_norm).epsilon(1e-4));

    // A run that was begun on the GPU goes on where there is none.
    on_gpu.training->save(folder / "state.safetensors", {});
    on_cpu.training->load(folder / "state.safetensors");
    CHECK(on_cpu.training->step_count() == 1);
    const Tokens tokens = on_cpu.average->encode(photos);
    const auto expected = on_cpu.average->decode(tokens, {.steps = 2}, {});
    const auto found = on_gpu.average->decode(tokens, {.steps = 2}, {});
    CHECK(difference_of({found.begin(), found.end()}, {expected.begin(), expected.end()}, approx::model_f32) == "");
    CHECK_THROWS_WITH_AS(on_gpu.training->lend_to(*on_cpu.average),
                         "training: a model of another configuration or device", Error);
}
