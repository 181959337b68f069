/// FAR-B at full size against the reference, and the published parameter counts.

#include <doctest/doctest.h>

#include "flowfar/far/model.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Model = Far<FarB, Tested>;

template <class C>
Index count() {
    // Storage that nobody writes costs no memory.
    return parameter_count(Far<C, Tested>());
}

}  // namespace

TEST_CASE("published parameter counts") {
    CHECK(count<FarB>() == 207926816);
    CHECK(std::abs(static_cast<double>(count<FarL1024>()) / 1e6 - 426.4) < 0.05);
    CHECK(std::abs(static_cast<double>(count<FarL>()) / 1e6 - 450.6) < 0.05);
    CHECK(std::abs(static_cast<double>(count<FarH>()) / 1e6 - 811.7) < 0.05);
}

TEST_CASE("FAR-B: encoder, decoder, diffusion network") {
    const auto golden = Golden::find("far_base_full");
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters("far_base_full", model);
    const auto latent = filled<Model::Latents>("far.latent", {2, 16, 16, 16}, 0.0, 1.5);
    const auto x = Model::patchify(SpatialFilter::apply(latent, 7));
    const std::vector<Index> labels = golden->integers("labels");
    const auto encoded = model.encode(model.embed_classes(model.class_vectors(labels)), x, nullptr);
    std::vector<double> every8;
    const std::vector<double> all = host(encoded).values;
    for (std::size_t row = 0; row < 640; row += 8) {
        every8.insert(every8.end(), all.begin() + static_cast<Index>(row) * 768,
                      all.begin() + static_cast<Index>(row + 1) * 768);
    }
    golden->close("encoder_out_every8", {{2, 40, 768}, every8}, 1e-4);
    const auto z = model.decode(encoded, nullptr);
    golden->close("z", z, 1e-4);

    const std::vector<Index> t = golden->integers("diff_t");
    const auto times =
        model.head.net.times(Tensor<Tested, Shape<dyn>>::from_host(std::vector<float>(t.begin(), t.end()), {512}));
    const auto condition =
        model.head.net.condition(Model::flatten(z), golden->tensor<Model::Head::Scalars>("diff_index"));
    const auto rows = filled<Model::Head::Rows>("far.diff_x", {512, 16});
    golden->close("diffnet_out", model.head.net(rows, condition + times), 1e-4);
}
