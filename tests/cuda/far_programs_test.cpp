// What far_generate does with --device and --precision: FAR behind its run-time interface, on the GPU as on the CPU.
#include <doctest/doctest.h>

#include "../../examples/programs/common/models/far_model_impl.hpp"
#include "temp_dir.hpp"
#include "twin_model.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace program = flowfar::program;

namespace {

using Values = std::vector<double>;

template <class T>
std::unique_ptr<program::AnyFar> loaded_on_gpu(const io::Path& path) {
    auto model = program::make_far<FarNano, Cuda, T>();
    model->load(path);
    return model;
}

}  // namespace

TEST_CASE("FAR generates the same latents on the GPU, and similar ones with bf16 weights") {
    const TempDir folder;
    auto source = noisy_model<Far<FarNano, Cpu>>(5);
    io::save_parameters(source, folder / "model.safetensors", DType::f32);
    const auto on_cpu = program::make_far<FarNano, Cpu, float>();
    on_cpu->load(folder / "model.safetensors");
    FarSampleOptions options{.levels = {0, 4}, .guidance = 2.0, .seed = 7};
    options.steps = DiffusionSteps::list({4, 5});
    const std::vector<Index> labels{3, 9, no_class};
    const std::vector<float> expected = on_cpu->generate(labels, options);
    int seen = 0;
    const std::vector<float> found =
        loaded_on_gpu<float>(folder / "model.safetensors")->generate(labels, options, [&](const auto& estimate) {
            CHECK(estimate.step == ++seen);
            CHECK(estimate.input().size() == expected.size());
            return true;
        });
    CHECK(seen == 2);
    const Values wanted(expected.begin(), expected.end());
    CHECK(difference_of(Values(found.begin(), found.end()), wanted, 10.0 * approx::model_f32) == "");
    const auto narrow = loaded_on_gpu<bf16>(folder / "model.safetensors");
    const std::vector<float> similar = narrow->generate(labels, options);
    // Without a limit the first diffusion steps magnify rounding errors.
    CHECK(relative_l2(Values(similar.begin(), similar.end()), wanted) < 2.0 * approx::model_bf16);
    CHECK_THROWS_WITH_AS(static_cast<void>(narrow->loss({}, {}, {})),
                         "FarNano: the training loss needs a model of f32 weights", Error);
}
