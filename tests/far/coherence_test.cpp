/// Coherent draws: the noise of cells, the shares of a run, and what a sampler makes of them.

#include <cmath>
#include <doctest/doctest.h>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/far/model.hpp"

using namespace flowfar;

namespace {

/// 8 × 8 tokens of one value: the noise is an image.
struct Coherent : FarTiny {
    static constexpr std::string_view name = "Coherent";
    static constexpr Index channels = 1;
    static constexpr Index side = 8;
    static constexpr Index patch = 1;
    static constexpr Index buffer = 1;
    static constexpr Index hidden = 16;
    static constexpr Index heads = 2;
    static constexpr Index encoder_depth = 1;
    static constexpr Index decoder_depth = 1;
    static constexpr Index head_width = 16;
    static constexpr Index head_depth = 1;
    static constexpr LevelShare shares[] = {{1, 0.5}, {3, 0.9}};
    static constexpr FarSampling sampling{.diffusion_steps = 2, .guidance = 1.0, .coherence = shares};
};
using Model = Far<Coherent, Cpu>;

/// Random parameters everywhere: a fresh model's output layers are zero, and then no step hears of the one before.
Model make() {
    Model model;
    model.initialize(3);
    for_each_parameter(model, [](const auto& p) {
        const auto fresh = Cpu::normal(p.extents(), DType::f32, fold(3, p.name), 0);
        Cpu::assign(p.value(), Cpu::unary({UnaryOp::affine, 0.1, 0.0}, fresh));
    });
    return model;
}

FarSampleOptions options(std::optional<std::vector<double>> coherence) {
    FarSampleOptions o;
    o.levels = {0, 1, 2, 4};
    o.coherence = std::move(coherence);
    o.seed = 5;
    return o;
}

/// 4 × 16 tokens.
struct Oblong : Coherent {
    static constexpr std::string_view name = "Oblong";
    static constexpr Index height = 4;
    static constexpr Index width = 16;
};

}  // namespace

TEST_CASE("cells of oblong latents move along the longer side") {
    const FarSampleDraws<Far<Oblong, Cpu>> draws(3, 0, 40);
    const auto noise = draws.cell_noise(0, 1, 4).to_host();
    int across = 0;
    for (std::size_t image = 0; image < 40; ++image) {
        across += noise[image * 64 + 3] == noise[image * 64 + 4] ? 1 : 0;  // not always a border between the two
        CHECK(noise[image * 64] == noise[image * 64 + 48]);                // a cell is as tall as the image
    }
    CHECK(across > 15);
    CHECK(across < 40);
}

TEST_CASE("cells are as fine as the next step's frequencies") {
    CHECK(coherent_cell(1, 8) == 8);
    CHECK(coherent_cell(2, 8) == 4);
    CHECK(coherent_cell(3, 8) == 4);
    CHECK(coherent_cell(4, 8) == 2);
    CHECK(coherent_cell(8, 8) == 1);
    CHECK(coherent_cell(24, 8) == 1);
    CHECK(coherent_cell(4, 6) == 2);
    CHECK(coherent_cell(2, 1) == 1);
}

TEST_CASE("shares: of a table by level, of a list by step") {
    CHECK(coherent_share({}, 3) == 0.0);
    CHECK(coherent_share(Coherent::shares, 0) == 0.5);
    CHECK(coherent_share(Coherent::shares, 2) == doctest::Approx(0.7));
    CHECK(coherent_share(Coherent::shares, 9) == 0.9);
    CHECK(coherent_shares({}, 3) == std::vector{0.0, 0.0, 0.0});
    CHECK(coherent_shares(std::vector{0.3}, 3) == std::vector{0.3, 0.3, 0.0});
    CHECK(coherent_shares(std::vector{0.3, 0.6}, 3) == std::vector{0.3, 0.6, 0.0});
    CHECK_THROWS_WITH_AS(static_cast<void>(coherent_shares(std::vector{0.3, 0.6}, 4)),
                         doctest::Contains("expected one share, or 3"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(coherent_shares(std::vector{1.5}, 4)),
                         doctest::Contains("expected a share from 0 to 1, found 1.5"), Error);
}

TEST_CASE("noise of cells: N(0, 1), equal inside a cell, independent beyond it") {
    constexpr Index batch = 400;
    const FarSampleDraws<Model> draws(11, 0, batch);
    const auto noise = draws.cell_noise(1, 2, 4).to_host();
    double square = 0.0;
    double near = 0.0;
    double far = 0.0;
    for (Index image = 0; image < batch; ++image) {
        const auto at = [&](Index row, Index column) {
            return static_cast<double>(noise[static_cast<std::size_t>((image * 8 + row) * 8 + column)]);
        };
        for (Index row = 0; row < 8; ++row) {
            for (Index column = 0; column < 4; ++column) {
                square += at(row, column) * at(row, column);
                near += at(row, column) * at(row, column + 1);
                far += at(row, column) * at(row, column + 4);
            }
        }
    }
    const double count = 32.0 * batch;
    CHECK(square / count == doctest::Approx(1.0).epsilon(0.1));
    CHECK(near / count == doctest::Approx(0.75).epsilon(0.1));  // a border every fourth column, at a random place
    CHECK(std::abs(far / count) < 0.1);

    const auto whole = draws.cell_noise(0, 0, 8).to_host();  // one cell: all tokens are equal
    CHECK(whole[0] == whole[63]);
    CHECK(whole[0] != whole[64]);
    const FarSampleDraws<Model> later(11, 7, 1);  // sample 7 depends on the seed and its number alone
    const auto alone = later.cell_noise(1, 2, 4).to_host();
    CHECK(std::equal(alone.begin(), alone.end(), noise.begin() + 7 * 64));
    CHECK(draws.cell_noise(1, 3, 4).to_host() != noise);
    CHECK(draws.cell_noise(2, 2, 4).to_host() != noise);
}

TEST_CASE("a sampler mixes noise as the options or the configuration say") {
    const Model model = make();
    const std::vector<Index> labels{1, 4};
    const auto sample = [&](std::optional<std::vector<double>> coherence) {
        return model.generate(labels, options(std::move(coherence))).to_host();
    };
    const auto published = sample(std::vector<double>{});
    CHECK(sample({}) == sample(std::vector{0.5, 0.7, 0.9}));  // the configuration's table at levels 1, 2 and 4
    CHECK(sample({}) != published);
    CHECK(sample(std::vector{0.0}) == published);
    CHECK(sample(std::vector{0.0, 0.0, 0.4}) != published);

    struct OwnOnly {
        FarSampleDraws<Model> draws;
        [[nodiscard]] auto noise(int k, int draw) const { return draws.noise(k, draw); }
        [[nodiscard]] std::vector<Index> orders() const { return draws.orders(); }
    };
    const OwnOnly own{FarSampleDraws<Model>(5, 0, 2)};
    CHECK(FarSampler<Model>(model, options(std::vector{0.0})).run(labels, own).to_host() == published);
    CHECK_THROWS_WITH_AS(static_cast<void>(FarSampler<Model>(model, options({})).run(labels, own)),
                         doctest::Contains("these draws have no noise of cells"), Error);
    CHECK_THROWS_AS(FarSampler<Model>(model, options(std::vector{0.5, 0.5})), Error);
}
