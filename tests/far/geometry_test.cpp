/// FAR with latents that are no squares, and with a decoder of another width than the encoder.

#include <doctest/doctest.h>
#include <map>

#include "flowfar/backend/reference.hpp"
#include "flowfar/far/loss.hpp"
#include "flowfar/far/sample.hpp"

#include "approx.hpp"

using namespace flowfar;
using flowfar::testing::difference_of;

namespace {

/// 4×6 latents as 2×3 tokens, a narrow decoder, MLPs of 2.5 times the width.
struct Oblong : FarNano {
    static constexpr std::string_view name = "Oblong";
    static constexpr Index channels = 2;
    static constexpr Index height = 4;
    static constexpr Index width = 6;
    static constexpr Index patch = 2;
    static constexpr Index buffer = 2;
    static constexpr Index hidden = 12;
    static constexpr Index heads = 3;
    static constexpr Index decoder_hidden = 8;
    static constexpr Index decoder_heads = 2;
    static constexpr double mlp_ratio = 2.5;
    static constexpr Index head_width = 8;
};
/// Its transpose.
struct Upright : Oblong {
    static constexpr Index height = 6;
    static constexpr Index width = 4;
};

using Tape = Autodiff<Reference>;
using Model = Far<Masked<Oblong>, Tape, double>;
using Turned = Far<Masked<Upright>, Tape, double>;

template <class AnyModel>
AnyModel make() {
    AnyModel model;
    for_each_parameter(model, [](const auto& p) {
        Reference::assign(p.value(), Reference::unary({UnaryOp::affine, 0.3, 0.0},
                                                      Reference::normal(p.extents(), DType::f64, fold(4, p.name), 0)));
    });
    return model;
}

/// Rows of x [1, rows, h] in another order: row i of the result is row order[i].
template <AnyTensor X>
X reordered(const X& x, const std::vector<Index>& order) {
    constexpr Index rows = X::Shape::at(1);
    constexpr Index hidden = X::Shape::at(2);
    const auto count = static_cast<Index>(order.size());
    const auto flat = reshape<dyn, hidden>(x, count);
    using Rows = Tensor<typename X::Backend, Shape<dyn>, Index>;
    return X(reshape<1, rows, hidden>(gather_rows(flat, Rows::from_host(order, {count}))).handle());
}

constexpr Index batch = 2;
const std::vector<Index> labels{1, no_class};
const std::vector<Index> orders{5, 0, 3, 1, 2, 4, 2, 3, 1, 0, 4, 5};

struct Input {
    FarLossOptions options;
    FarDraws draws;
    Model::Latents latents = Model::Latents::normal({batch, 2, 4, 6}, 21);
    Model::Head::Rows noise;

    Input() {
        options.multiplier = 2;
        options.run = {};
        options.level_per_sample = true;
        draws = FarDraws::make<Masked<Oblong>>(batch, options, 1000, 6);
        draws.levels = {1, 3};
        draws.keep = {1, 1};
        draws.mask.emplace(orders, 6, 2);
        noise = Model::Head::Rows::normal({2 * batch * 6, 8}, 3);
    }
    /// The part without the variational bound, whose gradient leaves out the mean on purpose.
    [[nodiscard]] auto loss(const Model& model) const {
        return far_loss(model, latents, labels, draws, noise, options).mse;
    }
};

}  // namespace

TEST_CASE("every parameter has the width of its side") {
    std::map<std::string, Extents> found;
    const Model model;
    for_each_parameter(model, [&](const auto& p) { found.emplace(p.name, p.extents()); });
    const std::map<std::string, Extents> expected{
        {"fake_latent", {1, 12}},
        {"mask_token", {1, 1, 8}},
        {"encoder_pos_embed_learned", {1, 8, 12}},
        {"decoder_pos_embed_learned", {1, 8, 8}},
        {"diffusion_pos_embed_learned", {1, 6, 8}},
        {"class_emb.weight", {10, 12}},
        {"z_proj.weight", {12, 8}},
        {"encoder_blocks.0.mlp.fc1.weight", {30, 12}},
        {"encoder_norm.weight", {12}},
        {"decoder_embed.weight", {8, 12}},
        {"decoder_blocks.0.attn.qkv.weight", {24, 8}},
        {"decoder_blocks.0.mlp.fc2.weight", {8, 20}},
        {"decoder_norm.bias", {8}},
        {"diffloss.net.cond_embed.weight", {8, 8}},
        {"diffloss.net.input_proj.weight", {8, 8}},
    };
    for (const auto& [name, extents] : expected) {
        CAPTURE(name);
        REQUIRE(found.contains(name));
        CHECK(found.at(name) == extents);
    }
}

TEST_CASE("the loss's gradients agree with differences along a direction, parameter by parameter") {
    Model model = make<Model>();
    const Input input;
    backward(input.loss(model));
    int checked = 0;
    for_each_parameter(model, [&](const auto& p) {
        CAPTURE(p.name);
        REQUIRE(p.gradient().defined());
        std::vector<double> values(static_cast<std::size_t>(p.count()));
        Reference::to_host(p.value(), values.data());
        const auto before = Reference::from_host(values.data(), p.extents(), DType::f64);
        const auto direction = Reference::normal(p.extents(), DType::f64, fold(9, p.name), 0);
        constexpr double step = 1e-5;
        double ends[2];
        for (const int side : {0, 1}) {
            const auto move = Reference::unary({UnaryOp::affine, side == 0 ? -step : step, 0.0}, direction);
            Reference::assign(p.value(), Reference::binary(BinaryOp::add, before, move));
            ends[side] = input.loss(model).item();
        }
        Reference::assign(p.value(), before);
        std::vector<double> gradient(static_cast<std::size_t>(p.count()));
        std::vector<double> along(gradient.size());
        Reference::to_host(p.gradient(), gradient.data());
        Reference::to_host(direction, along.data());
        double expected = 0;
        double scale = 0;
        for (std::size_t i = 0; i < along.size(); ++i) {
            expected += gradient[i] * along[i];
            scale += std::abs(gradient[i] * along[i]);
        }
        CHECK(std::abs((ends[1] - ends[0]) / (2 * step) - expected) <= 1e-6 * scale + 1e-8);
        ++checked;
    });
    CHECK(checked > 40);
}

TEST_CASE("tokens are the patches of a latent in raster order") {
    const auto x = Model::Latents::normal({1, 2, 4, 6}, 3);
    const auto tokens = Model::patchify(x);
    REQUIRE(tokens.extents() == Extents{1, 6, 8});
    // Token 5 (row 1, column 2): channel 1, row 1, column 0 of its patch.
    CHECK(tokens.to_host()[5 * 8 + 4 + 2 + 0] == x.to_host()[(1 * 4 + 3) * 6 + 4]);
    CHECK(Model::unpatchify(tokens).to_host() == x.to_host());
}

TEST_CASE("an upright latent is treated as the transposed one") {
    // Tokens of more than one value would have to be turned, too: here every token is turned by the test.
    const Model model = make<Model>();
    Turned turned = make<Turned>();
    std::vector<Index> order;  // of upright token i: the oblong one
    for (Index row = 0; row < 3; ++row) {
        for (Index column = 0; column < 2; ++column) {
            order.push_back(column * 3 + row);
        }
    }
    std::vector<Index> with_buffer{0, 1};
    for (const Index i : order) {
        with_buffer.push_back(2 + i);
    }
    turned.encoder_positions = reordered(model.encoder_positions, with_buffer);
    turned.decoder_positions = reordered(model.decoder_positions, with_buffer);
    turned.diffusion_positions = reordered(model.diffusion_positions, order);
    std::vector<Index> turned_orders;
    for (const Index token : orders) {
        turned_orders.push_back(std::ranges::find(order, token) - order.begin());
    }
    const TokenMask mask(orders, 6, 2);
    const TokenMask turned_mask(turned_orders, 6, 2);

    const Input input;
    const std::vector<Index> levels{1, 3};
    const auto seen = low_pass_each<SpatialFilter>(input.latents, levels);
    const Turned::Latents upright(transpose(input.latents).handle());
    const auto turned_seen = low_pass_each<SpatialFilter>(upright, levels);
    CHECK(difference_of(turned_seen.to_host(), transpose(seen).to_host(), 1e-12) == "");

    const auto z = model.conditions(Model::patchify(seen), labels, &mask);
    auto tokens = Turned::patchify(turned_seen);
    // Within a token: channel, row, column; rows and columns change places.
    const auto inner = transpose(reshape<dyn, 6, 2, 2, 2>(tokens, batch));
    tokens = reshape<dyn, 6, 8>(inner, batch);
    const auto turned_z = turned.conditions(tokens, labels, &turned_mask);
    for (Index sample = 0; sample < batch; ++sample) {
        const auto one = Model::Conditions(slice<0>(z, sample, sample + 1));
        const auto other = Turned::Conditions(slice<0>(turned_z, sample, sample + 1));
        const auto expected = reordered(one, order);
        CHECK(difference_of(other.to_host(), expected.to_host(), 1e-12) == "");
    }
}

TEST_CASE("sampling at the levels of the shorter side") {
    using Plain = Far<Oblong, Reference, float>;
    Plain model = Plain::random(3);
    CHECK(default_levels<Oblong>() == std::vector<Index>{0, 1, 2, 3});
    FarSampleOptions options;
    options.steps = DiffusionSteps::constant(3);
    int steps = 0;
    const auto latents = model.generate({1, 2, no_class}, options, [&](const auto& step) {
        CHECK(step.input.extents() == Extents{3, 6, 8});
        ++steps;
        return true;
    });
    CHECK(steps == 4);
    CHECK(latents.extents() == Extents{3, 2, 4, 6});
    CHECK(model.generate({1, 2, no_class}, options).to_host() == latents.to_host());
    options.levels = {0, 4};
    CHECK_THROWS_WITH_AS(static_cast<void>(model.generate({1}, options)), "levels: level 1 is 4, expected at most 3",
                         Error);
}
