// FAR on the CUDA backend against the CPU: what it generates and learns.
#include "flowfar/far/model.hpp"
#include "flowfar/far/train.hpp"

#include "twin_model.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

template <class C>
void check_samples() {
    using OnCpu = Far<C, Cpu>;
    using OnCuda = Far<C, Cuda>;
    const OnCpu reference = noisy_model<OnCpu>(5);
    OnCuda model;
    copy_parameters(model, reference);
    FarSampleOptions options;
    options.levels = {0, 2, 4};
    options.steps = DiffusionSteps::list({3, 3, 3});
    options.guidance = 2.0;
    options.seed = 7;
    const std::vector<Index> labels{3, 9, no_class};
    const auto expected = host_values(FarSampler<OnCpu>(reference, options)(labels));
    const auto found = FarSampler<OnCuda>(model, options)(labels);
    CHECK(difference_of(host_values(found), expected, 10.0 * approx::model_f32) == "");
    CHECK(FarSampler<OnCuda>(model, options)(labels).to_host() == found.to_host());
}

}  // namespace

TEST_CASE("cuda: FAR samples the same images") {
    check_samples<FarNano>();
    check_samples<Masked<FarNano>>();
}

TEST_CASE("cuda: training steps of FAR report the same losses as on the CPU") {
    using Start = Far<Masked<FarNano>, Cpu>;
    const Start start = noisy_model<Start>(5);
    const auto prepare = [&](auto& model) { copy_parameters(model, start); };
    FarTrainOptions options;
    options.adam.learning_rate = 1e-3;
    options.adam.epsilon = 1e-2;
    FarTrainer<Masked<FarNano>, Cpu> first(options, prepare);
    FarTrainer<Masked<FarNano>, Cuda> second(options, prepare);
    using Latents = Start::Latents;
    const Latents latents = Latents::normal({4, 3, 16, 16}, 8);
    const FarTrainer<Masked<FarNano>, Cuda>::Latents same(moved<Cuda>(latents.handle(), DType::f32));
    const std::vector<Index> labels{3, 0, 9, no_class};
    for (int step = 0; step < 2; ++step) {
        const FarTrainReport a = first.step(latents, labels);
        const FarTrainReport b = second.step(same, labels);
        CHECK(b.loss == doctest::Approx(a.loss).epsilon(approx::model_f32));
        CHECK(b.gradient_norm == doctest::Approx(a.gradient_norm).epsilon(1e-4));
    }
}
