/// Pictures of any size in overlapping tiles.

#include <cmath>
#include <doctest/doctest.h>
#include <numeric>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/checkpoints/flowmo.hpp"
#include "flowfar/flowmo/tiled.hpp"

#include "folders.hpp"

using namespace flowfar;

namespace {

using Model = FlowMo<FlowMoNano, Cpu>;
constexpr Index side = FlowMoNano::image_height;

const Model& model() {
    static const Model made = Model::random(4);
    return made;
}

/// Waves of every direction and color.
Image waves(int height, int width) {
    Image image = make_image(height, width);
    for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
            for (int c = 0; c < 3; ++c) {
                const double value =
                    std::sin(0.11 * (y + 7 * c)) + std::cos(0.07 * x * (c + 1)) + 0.3 * std::sin(0.9 * x);
                image.pixels[static_cast<std::size_t>((y * width + x) * 3 + c)] =
                    static_cast<std::uint8_t>(127.5 + 50.0 * value);
            }
        }
    }
    return image;
}

Image part_of(const Image& image, const PixelRect& r) {
    Image part = make_image(static_cast<int>(r.height), static_cast<int>(r.width));
    for (Index y = 0; y < r.height; ++y) {
        std::copy_n(image.pixels.begin() + ((r.top + y) * image.width + r.left) * 3, r.width * 3,
                    part.pixels.begin() + y * r.width * 3);
    }
    return part;
}

/// Mean squared step between neighboring pixels across the borders of tiles of `tile` pixels, over that elsewhere.
double seam_ratio(const Image& image, int tile) {
    double border = 0.0;
    double inside = 0.0;
    int borders = 0;
    int others = 0;
    const auto add = [&](int y, int x, int dy, int dx, bool on_border) {
        for (int c = 0; c < 3; ++c) {
            const int a = image.pixels[static_cast<std::size_t>((y * image.width + x) * 3 + c)];
            const int b = image.pixels[static_cast<std::size_t>(((y + dy) * image.width + x + dx) * 3 + c)];
            (on_border ? border : inside) += (a - b) * (a - b);
            ++(on_border ? borders : others);
        }
    };
    for (int y = 0; y < image.height; ++y) {
        for (int x = 0; x < image.width; ++x) {
            if (y + 1 < image.height) {
                add(y, x, 1, 0, (y + 1) % tile == 0);
            }
            if (x + 1 < image.width) {
                add(y, x, 0, 1, (x + 1) % tile == 0);
            }
        }
    }
    return border / borders / (inside / others);
}

}  // namespace

TEST_CASE("tiles cover an axis evenly, and their weights sum to 1") {
    struct Case {
        Index length, tile, overlap, count;
    };
    for (const Case& c : {Case{64, 16, 0, 4}, Case{65, 16, 0, 5}, Case{64, 16, 4, 5}, Case{17, 16, 15, 2},
                          Case{16, 16, 3, 1}, Case{5, 16, 3, 1}, Case{100, 16, 10, 15}, Case{1, 16, 0, 1}}) {
        CAPTURE(c.length);
        CAPTURE(c.overlap);
        const TileAxis axis(c.length, c.tile, c.overlap);
        CHECK(axis.count == c.count);
        std::vector<double> sums(static_cast<std::size_t>(std::max(c.length, c.tile)));
        for (Index i = 0; i < axis.count; ++i) {
            const std::vector<float> weights = axis.weights(i);
            REQUIRE(weights.size() == static_cast<std::size_t>(c.tile));
            for (std::size_t p = 0; p < weights.size(); ++p) {
                CHECK(weights[p] > 0.0F);
                sums[static_cast<std::size_t>(axis.begin(i)) + p] += static_cast<double>(weights[p]);
            }
            if (i > 0) {
                CHECK(axis.begin(i) > axis.begin(i - 1));
                CHECK(axis.begin(i - 1) + c.tile - axis.begin(i) >= c.overlap);
            }
        }
        CHECK(axis.begin(0) == 0);
        CHECK((c.length <= c.tile || axis.begin(axis.count - 1) == c.length - c.tile));
        for (const double sum : sums) {
            CHECK(sum == doctest::Approx(1.0).epsilon(1e-6));
        }
    }
}

TEST_CASE("wrong tiles and regions are named") {
    CHECK_THROWS_WITH_AS(TileGrid(40, 40, 16, 16, 16), doctest::Contains("expected an overlap from 0 to 15"), Error);
    CHECK_THROWS_WITH_AS(TileGrid(0, 40, 16, 16, 0), doctest::Contains("a side of 0 pixels"), Error);
    CHECK_THROWS_WITH_AS(TiledFlowMo<Model>(model(), {.overlap = -1}), doctest::Contains("found -1"), Error);
    CHECK_THROWS_WITH_AS(TiledFlowMo<Model>(model(), {.at_once = 0}), doctest::Contains("at least one tile"), Error);
    const TiledFlowMo<Model> tiled(model());
    const TileGrid grid = tiled.grid(40, 40);
    const Tokens tokens = tiled.encode(waves(40, 40));
    CHECK_THROWS_WITH_AS(static_cast<void>(tiled.decode(tokens, tiled.grid(40, 60))),
                         doctest::Contains("expected the tokens of 12 tiles, found those of 9"), Error);
    Tokens cut = tokens;
    cut.indices.pop_back();
    CHECK_THROWS_AS(static_cast<void>(tiled.decode(cut, grid)), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(tiled.decode_region(tokens, grid, {30, 30, 11, 5})),
                         doctest::Contains("expected a region inside 40 x 40 pixels, found 11 x 5 at (30, 30)"), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(tiled.decode(tokens, TileGrid(40, 40, 20, 16, 0))),
                         doctest::Contains("tiles"), Error);
}

TEST_CASE("a picture smaller than a tile: its last row and column go on") {
    const Image small = waves(3, 5);
    const TiledFlowMo<Model> tiled(model());
    const TileGrid grid = tiled.grid(3, 5);
    REQUIRE(grid.count() == 1);
    const Image tile = cut_tile(small, grid, 0);
    CHECK(part_of(tile, {0, 0, 3, 5}) == small);
    CHECK(part_of(tile, {15, 2, 1, 1}) == part_of(small, {2, 2, 1, 1}));
    CHECK(part_of(tile, {1, 15, 1, 1}) == part_of(small, {1, 4, 1, 1}));
    const Image again = tiled.decode(tiled.encode(small), grid, {.steps = 2});
    CHECK(again.height == 3);
    CHECK(again.width == 5);
}

TEST_CASE("tiles that touch are each decoded from their part of the noise; regions need their tiles alone") {
    const Image picture = waves(2 * side, 3 * side);
    const TiledFlowMo<Model> tiled(model(), {.at_once = 4});
    const TileGrid grid = tiled.grid(picture.height, picture.width);
    const Tokens tokens = tiled.encode(picture);
    REQUIRE(tokens.batch == 6);
    const FlowMoDecodeOptions options{.steps = 3, .seed = 9};
    const Image whole = tiled.decode(tokens, grid, options);
    CHECK(TiledFlowMo<Model>(model(), {.at_once = 1}).decode(tokens, grid, options) == whole);

    const PixelRect region{side + 2, side + 3, 7, 9};  // inside tile 4
    REQUIRE(grid.tiles_of(region) == std::vector<Index>{4});
    const Index each = tokens.length * tokens.per_token;
    const Tokens one{1,
                     tokens.length,
                     tokens.per_token,
                     tokens.bits,
                     {tokens.indices.begin() + 4 * each, tokens.indices.begin() + 5 * each}};
    CHECK(tiled.decode_region(one, grid, region, options) == part_of(whole, region));

    // by the sampler, from the noise of tile 4
    const auto noise = Tensor<Cpu, Shape<dyn>, float>::normal({3 * 2 * side * 3 * side}, options.seed).to_host();
    std::vector<float> cut;
    for (Index c = 0; c < 3; ++c) {
        for (Index y = 0; y < side; ++y) {
            const auto row = noise.begin() + (c * 2 * side + side + y) * 3 * side + side;
            cut.insert(cut.end(), row, row + side);
        }
    }
    const auto expected =
        FlowMoSampler<Model>(model(), options)(Model::code_of(one), Model::Images::from_host(cut, {1, 3, side, side}));
    CHECK(to_images(expected).front() == part_of(whole, grid.tile(4)));
}

TEST_CASE("a callback sees estimates of the picture and can stop") {
    const Image picture = waves(20, 30);
    const TiledFlowMo<Model> tiled(model(), {.overlap = 5});
    const Tokens tokens = tiled.encode(picture);
    const TileGrid grid = tiled.grid(20, 30);
    std::vector<int> steps;
    Image last;
    const Image stopped = tiled.decode(tokens, grid, {.steps = 5}, [&](const TiledStep& step) {
        steps.push_back(step.step);
        last = step.estimate;
        return step.step < 3;
    });
    CHECK(steps == std::vector{1, 2, 3});
    CHECK(stopped == last);
    CHECK(stopped.width == 30);
}

TEST_CASE("blended tiles of a trained model show no seams") {
    const auto trained =
        load<FlowMo<FlowMoTiny, Cpu>>(testing::source_folder() / "examples/models/flowmo_tiny.safetensors");
    const auto decoded = [&](Index overlap, const Image& picture) {
        const TiledFlowMo<FlowMo<FlowMoTiny, Cpu>> tiled(trained, {.overlap = overlap});
        return tiled.decode(tiled.encode(picture), tiled.grid(picture.height, picture.width), {.steps = 4, .seed = 1});
    };
    const Image even = waves(128, 128);
    CHECK(seam_ratio(decoded(0, even), 32) > 3.0 * seam_ratio(even, 32));  // the measure sees seams
    const Image odd = waves(32 + 4 * 22, 32 + 4 * 22);  // tiles begin every 22 pixels: never on a patch's border
    CHECK(seam_ratio(decoded(10, odd), 22) < 1.25 * seam_ratio(odd, 22));
}
