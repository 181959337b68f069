/// FAR's spatial low-pass and the frequency weights against the reference.

#include <doctest/doctest.h>

#include "flowfar/backend/cpu.hpp"
#include "flowfar/frequency/pyramid.hpp"

#include "golden.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Latents = Tensor<Cpu, Shape<dyn, 16, 16, 16>>;

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
