/// FAR-B at full size against the reference, and the published parameter counts.

#include <doctest/doctest.h>

#include "flowfar/far/model.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "recordings.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

template <class C>
Index count() {
    // Storage that nobody writes costs no memory.
    return parameter_count(Far<C, Tested>());
}

template <class C>
void check(const std::string& name, const std::string& parameters) {
    using Model = Far<C, Tested>;
    const auto golden = Golden::find(name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(parameters, model);
    const auto latent = filled<typename Model::Latents>("far.latent", golden->extents("latent"), 0.0, 1.5);
    const auto x = Model::patchify(SpatialFilter::apply(latent, static_cast<Index>(golden->number("core"))));
    const std::vector<Index> labels = golden->integers("labels");
    const auto encoded = model.encode(model.embed_classes(model.class_vectors(labels)), x, nullptr);
    std::vector<double> every8;
    const HostTensor all = host(encoded);
    const Index width = all.extents[2];
    for (Index row = 0; row < all.extents[0] * all.extents[1]; row += 8) {
        every8.insert(every8.end(), all.values.begin() + row * width, all.values.begin() + (row + 1) * width);
    }
    golden->close("encoder_out_every8", {golden->extents("encoder_out_every8"), every8}, 1e-4);
    const auto z = model.decode(encoded, nullptr);
    golden->close("z", z, 1e-4);

    const std::vector<Index> t = golden->integers("diff_t");
    const auto rows = static_cast<Index>(t.size());
    const auto times =
        model.head.net.times(Tensor<Tested, Shape<dyn>>::from_host(std::vector<float>(t.begin(), t.end()), {rows}));
    const auto condition = model.head.net.condition(
        Model::flatten(z), golden->template tensor<typename Model::Head::Scalars>("diff_index"));
    const auto noisy = filled<typename Model::Head::Rows>("far.diff_x", {rows, Model::token_dim});
    golden->close("diffnet_out", model.head.net(noisy, condition + times), 1e-4);
}

}  // namespace

TEST_CASE("published parameter counts") {
    CHECK(count<FarB>() == 207926816);
    CHECK(std::abs(static_cast<double>(count<FarL1024>()) / 1e6 - 426.4) < 0.05);
    CHECK(std::abs(static_cast<double>(count<FarL>()) / 1e6 - 450.6) < 0.05);
    CHECK(std::abs(static_cast<double>(count<FarH>()) / 1e6 - 811.7) < 0.05);
}

TEST_CASE("encoder, decoder, diffusion network") {
    FarFullSizes::each([]<class R>() { check<typename R::Config>(R::name, R::parameters); });
}
