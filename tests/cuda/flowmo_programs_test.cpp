// What programs do with --device and --precision: FlowMo behind its run-time interface, on the GPU as on the CPU.
#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>

#include "../../examples/programs/common/cli/compute_options.hpp"
#include "../../examples/programs/common/models/flowmo_model.hpp"
#include "../../examples/programs/common/models/flowmo_model_impl.hpp"
#include "temp_dir.hpp"
#include "twin_model.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace program = flowfar::program;
using program::Device;

namespace {

/// A model file as flowmo_train writes it.
io::Path saved_model(const TempDir& folder) {
    auto model = noisy_model<FlowMo<FlowMoNano, Cpu>>(3);
    const io::Path path = folder / "model.safetensors";
    io::save_parameters(model, path, DType::f32, {{"configuration", std::string(FlowMoNano::name)}});
    return path;
}

std::vector<double> widened(const std::vector<float>& values) {
    return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("--device: auto is the GPU where there is one") {
    program::ComputeArguments a;
    CHECK(a.apply().device == Device::cuda);
    a.device = "cuda";
    CHECK(a.apply().device == Device::cuda);
    a.device = "cpu";
    CHECK(a.apply().device == Device::cpu);
    CHECK_FALSE(a.apply().kind().bf16);
    a.precision = "bf16";
    CHECK(a.apply().kind().bf16);
}

TEST_CASE("a photo goes through FlowMo on the GPU as on the CPU") {
    const TempDir folder;
    const io::Path path = saved_model(folder);
    const auto on_cpu = program::load_flowmo(path, "", {Device::cpu});
    const auto on_gpu = program::load_flowmo(path, "", {Device::cuda});
    CHECK(on_gpu->facts().parameter_count == on_cpu->facts().parameter_count);
    const std::vector<float> photos =
        clamp(FlowMo<FlowMoNano, Cpu>::Images::normal({2, 3, 16, 16}, 8) * 0.5, -1.0, 1.0).to_host();
    const Tokens tokens = on_cpu->encode(photos);
    CHECK(on_gpu->encode(photos) == tokens);

    const FlowMoDecodeOptions options{.steps = 8, .seed = 7};
    const std::vector<double> expected = widened(on_cpu->decode(tokens, options));
    const std::vector<float> recorded = on_gpu->decode(tokens, options);
    CHECK(difference_of(widened(recorded), expected, approx::model_f32) == "");
    CHECK(on_gpu->decode(tokens, options) == recorded);
    int seen = 0;
    std::vector<float> last;
    const auto direct = on_gpu->decode(tokens, options, [&](const program::FlowMoEstimate& estimate) {
        CHECK(estimate.step == ++seen);
        last = estimate.images();
    });
    CHECK(seen == 8);
    CHECK(last == direct);
    CHECK(direct == recorded);

    // With bf16 weights and activations: model_bf16 allows the error of some hundred roundings.
    const auto narrow = program::load_flowmo(path, "", {Device::cuda, true});
    CHECK(difference_of(widened(narrow->decode(tokens, options)), expected, approx::model_bf16) == "");
    const Tokens coded = narrow->encode(photos);
    const auto same = std::ranges::count_if(
        coded.indices, [&, i = std::size_t{0}](std::uint32_t index) mutable { return index == tokens.indices[i++]; });
    CHECK(2 * static_cast<std::size_t>(same) > coded.indices.size());

    // What is saved from the GPU is what was loaded.
    on_gpu->save(folder / "again.safetensors", DType::f32, {});
    CHECK(program::load_flowmo(folder / "again.safetensors", "", {Device::cpu})->decode(tokens, options) ==
          on_cpu->decode(tokens, options));
}
