/// The KL-16 autoencoder at full size against the reference: 256×256 pixels to 16×16 latent pixels and back.

#include <doctest/doctest.h>

#include "flowfar/far/vae/model.hpp"

#include "golden.hpp"
#include "golden_backend.hpp"

using namespace flowfar;
using namespace flowfar::testing;

TEST_CASE("KL-16: encoder and decoder") {
    using Model = Vae<Kl16, Tested>;
    const auto golden = Golden::find("vae_kl16_full");
    if (!golden) {
        return;
    }
    Model model;
    golden_parameters("vae_kl16_full", model);
    const auto nobody = [](std::string_view, const auto&) {};
    const auto images = filled<Model::Images>("vae.image", {1, 3, 256, 256});
    golden->close("moments", model.moments(images, nobody), 2e-5);
    const auto latents = filled<Model::Latents>("vae.latent", {1, 16, 16, 16}, 0.0, 1.5);
    golden->close("decoded", model.decode_unscaled(latents), 2e-5);
}
