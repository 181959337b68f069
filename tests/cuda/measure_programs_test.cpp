// What FAR's programs and the measuring programs do with --device: tokenizers and LPIPS behind their run-time
// interfaces, on the GPU as on the CPU.
#include <doctest/doctest.h>

#include "flowfar/flowmo/model.hpp"

#include "../../examples/programs/common/measures/lpips_network_impl.hpp"
#include "../../examples/programs/common/models/latent_tokenizer_impl.hpp"
#include "temp_dir.hpp"
#include "twin_model.hpp"

using namespace flowfar;
using namespace flowfar::testing;
namespace program = flowfar::program;

namespace {

std::vector<float> images(Index count, Index side) {
    return clamp(Tensor<Cpu, Shape<dyn, 3, dyn, dyn>>::normal({count, 3, side, side}, 4) * 0.5, -1.0, 1.0).to_host();
}

/// Encodes, draws and measures with both; gives what was drawn.
std::vector<float> check_tokenizers(const program::AnyTokenizer& expected, const program::AnyTokenizer& found,
                                    const std::vector<float>& photos) {
    const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
        CHECK(difference_of({a.begin(), a.end()}, {b.begin(), b.end()}, approx::model_f32) == "");
    };
    const std::vector<float> statistics = expected.statistics(photos);
    same(found.statistics(photos), statistics);
    const std::vector<float> latents = expected.draw(statistics, 5);
    same(found.draw(statistics, 5), latents);
    CHECK(found.measured_scale(photos) == doctest::Approx(expected.measured_scale(photos)).epsilon(1e-5));
    return latents;
}

}  // namespace

TEST_CASE("tokenizers give the same latents on the GPU") {
    const auto pixels = program::make_tokenizer<Cpu>(3, 16, 16, {});
    const auto pixels_on_gpu = program::make_tokenizer<Cuda>(3, 16, 16, {});
    const std::vector<float> latents = check_tokenizers(*pixels, *pixels_on_gpu, images(2, 16));
    CHECK(pixels_on_gpu->decode(latents) == pixels->decode(latents));

    const TempDir folder;
    auto source = noisy_model<FlowMo<FlowMoTiny64, Cpu>>(5);
    io::save_parameters(source, folder / "model.safetensors", DType::f32);
    const auto codes = program::make_tokenizer<Cpu>(36, 8, 8, folder / "model.safetensors");
    const auto codes_on_gpu = program::make_tokenizer<Cuda>(36, 8, 8, folder / "model.safetensors");
    static_cast<void>(check_tokenizers(*codes, *codes_on_gpu, images(1, 64)));
}

TEST_CASE("LPIPS gives the same distances on the GPU") {
    const TempDir folder;
    SqueezeNet<Cpu> network;
    LpipsWeights<SqueezeNet<Cpu>> weights;
    for_each_parameter(network, [](const auto& p) {
        Cpu::assign(p.value(), Cpu::unary({UnaryOp::affine, 0.1, 0.0}, Cpu::normal(p.extents(), p.dtype(), 3, 0)));
    });
    for_each_parameter(weights,
                       [](const auto& p) { Cpu::assign(p.value(), Cpu::uniform(p.extents(), p.dtype(), 4, 0)); });
    io::save_parameters(network, folder / "network.safetensors", DType::f32);
    io::save_parameters(weights, folder / "weights.safetensors", DType::f32);
    const auto photo = [](std::uint64_t seed) {
        return to_images(clamp(Tensor<Cpu, Shape<dyn, 3, dyn, dyn>>::normal({1, 3, 48, 48}, seed) * 0.5, -1.0, 1.0))[0];
    };
    const auto on = [&]<class B>() {
        return program::make_lpips<B>("squeeze", folder / "network.safetensors", folder / "weights.safetensors");
    };
    const double expected = on.template operator()<Cpu>()(photo(1), photo(2));
    CHECK(expected > 0.0);
    CHECK(on.template operator()<Cuda>()(photo(1), photo(2)) == doctest::Approx(expected).epsilon(1e-4));
}
