// What far_train does with --device: the run-time interface of training, on the GPU as on the CPU.
#include <doctest/doctest.h>

#include "../../examples/programs/common/models/far_model_impl.hpp"
#include "../../examples/programs/common/training/far_training_impl.hpp"
#include "twin_model.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace program = flowfar::program;

TEST_CASE("a training step of FAR on the GPU is one on the CPU") {
    program::FarTrainingSettings settings;
    settings.options.adam.epsilon = 1e-2;  // makes steps nearly proportional to gradients
    settings.options.seed = 5;
    const auto on_cpu = program::make_far_training<FarNano, Cpu>(settings);
    const auto on_gpu = program::make_far_training<FarNano, Cuda>(settings);
    const std::vector<float> latents = Far<FarNano, Cpu>::Latents::normal({4, 3, 16, 16}, 8).to_host();
    const std::vector<Index> labels{3, 0, 9, no_class};
    for (int step = 0; step < 2; ++step) {
        const FarTrainReport a = on_cpu->step(latents, labels);
        const FarTrainReport b = on_gpu->step(latents, labels);
        CHECK(b.loss == doctest::Approx(a.loss).epsilon(approx::model_f32));
        CHECK(b.gradient_norm == doctest::Approx(a.gradient_norm).epsilon(1e-4));
    }
    const auto average = program::make_far<FarNano, Cuda, float>();
    on_gpu->lend_to(*average);
    const auto same = program::make_far<FarNano, Cpu, float>();
    on_cpu->lend_to(*same);
    CHECK(average->loss(latents, labels, settings.options).loss ==
          doctest::Approx(same->loss(latents, labels, settings.options).loss).epsilon(approx::model_f32));
}
