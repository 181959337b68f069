/// FAR's spatial low-pass, frequency weights and token layout against the reference.

#include <doctest/doctest.h>

#include "flowfar/far/loss.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Latents = Tensor<Tested, Shape<dyn, 16, 16, 16>>;

template <Index Patch>
struct Patched : FarTiny {
    static constexpr Index channels = 4;
    static constexpr Index side = 8;
    static constexpr Index patch = Patch;
};

template <Index Patch>
void check_layout(const Golden& golden) {
    using Model = Far<Patched<Patch>, Tested>;
    const auto latents = golden.tensor<typename Model::Latents>("patch.input");
    const auto tokens = Model::patchify(latents);
    golden.close(text("patchify.p", Patch), tokens, 0.0);
    golden.close("patch.input", Model::unpatchify(tokens), 0.0);
}

}  // namespace

TEST_CASE("spatial low-pass of recorded latents at every level") {
    const auto golden = Golden::find("far_filter");
    if (!golden) {
        return;
    }
    const auto x = golden->tensor<Latents>("latent");
    for (Index level = 0; level < 16; ++level) {
        golden->close(text("core", level), SpatialFilter::apply(x, level), 1e-6);
    }
    const auto mixed = golden->tensor<Latents>("t2i.latent");
    const std::vector<Index> levels{0, 3, 7, 15};
    golden->close("t2i.out", low_pass_each<SpatialFilter>(mixed, levels), 1e-6);
}

TEST_CASE("frequency weights and token layout") {
    const auto golden = Golden::find("far_filter");
    if (!golden) {
        return;
    }
    for (const Index levels : {4, 8, 16}) {
        HostTensor weights{{levels}, {}};
        for (Index level = 0; level < levels; ++level) {
            weights.values.push_back(frequency_weight(level, levels));
        }
        golden->close(text("loss_weight.seq", levels), weights, 1e-12);
    }
    check_layout<1>(*golden);
    check_layout<2>(*golden);
}
