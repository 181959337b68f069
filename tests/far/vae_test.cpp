/// The autoencoder beyond the recorded cases: shapes, batches, training, files.

#include <cmath>
#include <doctest/doctest.h>

#include "flowfar/autodiff/backward.hpp"
#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/state_dict.hpp"
#include "flowfar/far/vae/model.hpp"

#include "approx.hpp"
#include "temp_dir.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

struct Small : Kl16 {
    static constexpr std::string_view name = "Small";
    static constexpr Index latent_channels = 4;
    static constexpr Index width = 8;
    static constexpr std::array<Index, 2> multipliers{1, 2};
    static constexpr Index blocks = 1;
    static constexpr Index groups = 4;
    static constexpr Index resolution = 32;
};

using Model = Vae<Small, Cpu>;
using Trained = Vae<Small, Autodiff<Cpu>>;

}  // namespace

TEST_CASE("images of any size that the factor divides; samples of a batch are independent") {
    Model model;
    model.initialize(1);
    const auto images = Model::Images::normal({2, 3, 6, 10}, 2);
    const auto posterior = model.posterior(images);
    CHECK(posterior.mean.extents() == Extents{2, 4, 3, 5});
    const auto again = model.decode_unscaled(posterior.mean);
    CHECK(again.extents() == images.extents());
    const auto second = model.decode_unscaled(model.posterior(Model::Images(slice<0, 1, 2>(images))).mean);
    const std::vector<float> both = again.to_host();
    const std::vector<float> alone = second.to_host();
    CHECK(difference_of({both.begin() + 180, both.end()}, {alone.begin(), alone.end()}, 1e-5) == "");
    CHECK(posterior.kl().extents() == Extents{2});
    CHECK_THROWS_AS(static_cast<void>(model.encode(Model::Images::zeros({1, 3, 6, 7}))), Error);
}

TEST_CASE("the log variance is limited") {
    const auto moments = Model::Moments::full({1, 8, 1, 1}, 100.0);
    CHECK(Model::posterior(moments).log_variance.to_host() == std::vector<float>(4, 20.0F));
    CHECK(Model::posterior(-moments).log_variance.to_host() == std::vector<float>(4, -30.0F));
}

TEST_CASE("a step against the gradient lowers the loss, and every parameter has a gradient") {
    Trained model;
    model.initialize(3);
    const auto images = Trained::Images::uniform({2, 3, 8, 8}, 4) * 2.0 - 1.0;
    const auto noise = Trained::Latents::normal({2, 4, 4, 4}, 5);
    const auto loss = [&] {
        const auto posterior = model.posterior(images);
        return mean(square(model.decode_unscaled(posterior.sample(noise)) - images)) + 1e-3 * mean(posterior.kl());
    };
    const auto before = loss();
    backward(before);
    double squares = 0.0;
    for (const auto& p : parameters(model)) {
        INFO(p.name);
        REQUIRE(p.gradient().defined());
        const auto norm =
            Cpu::reduce(ReduceOp::sum_squares, p.gradient(), Axes::all(p.extents().rank()), ReducedAxes::drop);
        squares += static_cast<double>(*norm.data<float>());
    }
    CHECK(std::isfinite(squares));
    const double step = 0.1 * static_cast<double>(before.item()) / squares;
    for (const auto& p : parameters(model)) {
        Cpu::add_into(p.value(), Cpu::unary({UnaryOp::affine, -step, 0.0}, p.gradient()));
    }
    const double drop = static_cast<double>(before.item() - loss().item());
    CHECK(drop > 0.05 * static_cast<double>(before.item()));  // to first order 0.1
    CHECK(drop < 0.15 * static_cast<double>(before.item()));
}

TEST_CASE("a saved autoencoder is the same again") {
    const TempDir folder;
    Model model;
    model.initialize(6);
    const auto path = folder.path() / "vae.safetensors";
    io::save_parameters(model, path, DType::f32);
    Model again;
    io::load_parameters(again, path);
    const auto latents = Model::Latents::normal({1, 4, 2, 2}, 7);
    CHECK(again.decode(latents).to_host() == model.decode(latents).to_host());
}
