/// FAR with files, through the front headers.

#include <doctest/doctest.h>

#include "flowfar/cpu.hpp"
#include "flowfar/far.hpp"
#include "flowfar/io.hpp"

#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

struct Small : FarTiny {
    static constexpr std::string_view name = "Small";
    static constexpr Index channels = 48;
    static constexpr Index side = 4;
    static constexpr Index patch = 1;
    static constexpr Index hidden = 16;
    static constexpr Index heads = 2;
    static constexpr Index head_width = 16;
};
struct Wider : Small {
    static constexpr Index head_width = 24;
};

}  // namespace

TEST_CASE("a saved model generates what the original does") {
    const TempDir folder;
    using Generator = Far<Small, Cpu>;
    const Generator model = Generator::random(3);
    const auto path = folder.path() / "far.safetensors";
    save(model, path);
    const Generator again = load<Generator>(path);
    FarSampleOptions options;
    options.steps = DiffusionSteps::constant(3);
    int levels = 0;
    const auto callback = [&](const auto&) { return ++levels < 100; };
    const auto latents = again.generate({1, 2}, options, callback);
    CHECK(levels == 4);  // 0, 2, 3
    CHECK(latents.to_host() == model.generate({1, 2}, options).to_host());
    // The width of the diffusion MLP is a matter of the configuration (FarL and FarL1024 differ in nothing else).
    CHECK_THROWS_AS(static_cast<void>(load<Far<Wider, Cpu>>(path)), Error);
}
