/// The KL-16 autoencoder with a quarter of the channels against the reference: every recorded map on the way.

#include <algorithm>
#include <doctest/doctest.h>
#include <string>

#include "flowfar/far/vae/model.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"
#include "recordings.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

constexpr double bound = 1e-5;

/// Every fourth row and column of [batch, channels, h, w].
HostTensor every4(const HostTensor& all) {
    const Extents& e = all.extents;
    HostTensor out{{e[0], e[1], (e[2] + 3) / 4, (e[3] + 3) / 4}, {}};
    for (Index map = 0; map < e[0] * e[1]; ++map) {
        for (Index row = 0; row < e[2]; row += 4) {
            for (Index column = 0; column < e[3]; column += 4) {
                out.values.push_back(all.values[static_cast<std::size_t>((map * e[2] + row) * e[3] + column)]);
            }
        }
    }
    return out;
}

/// Compares the maps that a model shows with those that were recorded, and counts them.
struct Observer {
    const Golden& golden;
    std::string stem;
    int& seen;

    template <AnyTensor X>
    void operator()(std::string_view name, const X& x) const {
        const std::string full = text(stem, ".", name);
        const auto has = [&](const std::string& n) { return std::ranges::count(golden.tensors(), n) > 0; };
        if (has(full)) {
            golden.close(full, x, bound);
            ++seen;
        } else if (has(full + ".every4")) {
            golden.close(full + ".every4", every4(host(x)), bound);
            ++seen;
        }
    }
};

template <class R>
void check_encoder() {
    using Model = Vae<typename R::Config, Tested>;
    const auto golden = Golden::find(R::name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(R::parameters, model);
    const auto images = filled<typename Model::Images>("vae.image", golden->extents("image"));
    golden->close("image", images, 0.0);
    int seen = 0;
    const auto moments = model.moments(images, Observer{*golden, "enc", seen});
    CHECK(seen == 8);
    golden->close("moments", moments, bound);
    const auto posterior = Model::posterior(moments);
    golden->close("mean", posterior.mean, bound);
    golden->close("logvar", posterior.log_variance, bound);
    golden->close("std", posterior.deviation(), bound);
    golden->close("kl", posterior.kl(), bound);
    const auto noise = filled<typename Model::Latents>("vae.posterior.0", golden->extents("mean"));
    golden->close("sample", posterior.sample(noise), bound);
    golden->close("scaled_sample", model.encode(images, noise), bound);
}

template <class R>
void check_decoder() {
    using Model = Vae<typename R::Config, Tested>;
    const auto golden = Golden::find(R::name);
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters(R::parameters, model);
    const auto latents = filled<typename Model::Latents>("vae.latent", golden->extents("latent"), 0.0, 1.5);
    golden->close("latent", latents, 0.0);
    int seen = 0;
    golden->close("decoded", model.decode_unscaled(latents, Observer{*golden, "dec", seen}), bound);
    CHECK(seen == 7);
    const auto clipped = clamp(model.decode_unscaled(latents), -1.0, 1.0);
    const auto scaled = model.decode(latents * R::Config::latent_scale);
    CHECK(relative_l2(host(scaled).values, host(clipped).values) < 1e-4);
}

}  // namespace

TEST_CASE("the autoencoder: images to latents") {
    FarAutoencoders::each([]<class R>() { check_encoder<R>(); });
}
TEST_CASE("the autoencoder: latents to images") {
    FarAutoencoders::each([]<class R>() { check_decoder<R>(); });
}
