#include "flowfar/far/tokenizer.hpp"

#include <doctest/doctest.h>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/flowmo/code_tokenizer.hpp"

#include "approx.hpp"

namespace {

using namespace flowfar;
using flowfar::testing::difference_of;

/// FlowMo with a code length that is a square.
struct SquareCode : FlowMoNano {
    static constexpr std::string_view name = "SquareCode";
    static constexpr Index code_length = 9;
};

using Pixels = PixelTokenizer<Cpu, 16, 24>;
using Autoencoder = VaeTokenizer<Kl16Tiny, Cpu, 32, 48>;
using Code = FlowMoTokenizer<SquareCode, Cpu>;
static_assert(LatentTokenizer<Pixels> && LatentTokenizer<Autoencoder> && LatentTokenizer<Code>);
static_assert(!LatentTokenizer<FlowMo<SquareCode, Cpu>>);
static_assert(Autoencoder::height == 2 && Autoencoder::width == 3 && Autoencoder::channels == 16);
static_assert(Code::height == 3 && Code::width == 3 && Code::channels == 18);

template <AnyTensor X>
std::vector<double> values(const X& x) {
    const auto host = x.to_host();
    return {host.begin(), host.end()};
}

template <class K>
typename K::Images photos(Index count) {
    return clamp(K::Images::normal({count, 3, K::image_height, K::image_width}, 4) * 0.5, -1.0, 1.0);
}

}  // namespace

TEST_CASE("pixels come back as they were") {
    const Pixels tokenizer;
    const auto images = photos<Pixels>(2);
    const auto latents = tokenizer.draw(tokenizer.statistics(images), 1);
    CHECK(latents.to_host() == (images * 2.0).to_host());
    CHECK(tokenizer.decode(latents).to_host() == images.to_host());
    CHECK(tokenizer.decode(latents * 10.0).to_host() == clamp(images * 10.0, -1.0, 1.0).to_host());
}

TEST_CASE("the autoencoder's statistics are its moments, and drawing samples them") {
    const auto model = [] {
        auto made = std::make_shared<Vae<Kl16Tiny, Cpu>>();
        made->initialize(3);
        return made;
    }();
    const Autoencoder tokenizer(model);
    const auto images = photos<Autoencoder>(2);
    const auto statistics = tokenizer.statistics(images);
    CHECK(statistics.extents() == Extents{2, 32, 2, 3});
    const auto latents = tokenizer.draw(statistics, 7);
    const auto noise = Vae<Kl16Tiny, Cpu>::Latents::normal({2, 16, 2, 3}, 7);
    CHECK(latents.to_host() == model->encode(images, noise).to_host());
    CHECK(tokenizer.draw(statistics, 8).to_host() != latents.to_host());
    CHECK(tokenizer.decode(latents).to_host() == model->decode(latents).to_host());
}

TEST_CASE("a FlowMo's code becomes a square and decodes as its tokens do") {
    const auto model = [] {
        auto made = std::make_shared<FlowMo<SquareCode, Cpu>>();
        made->initialize(3);
        return made;
    }();
    FlowMoDecodeOptions decoding;
    decoding.steps = 2;
    Code tokenizer(model, decoding);
    const auto images = photos<Code>(2);
    const auto statistics = tokenizer.statistics(images);
    const auto code = model->encode_continuous(images);
    // Value c of code position (row, column).
    const auto at = [](const std::vector<float>& v, Index b, Index c, Index row, Index column) {
        return v[static_cast<std::size_t>(((b * 18 + c) * 3 + row) * 3 + column)];
    };
    const std::vector<float> square = statistics.to_host();
    CHECK(at(square, 1, 5, 2, 1) == code.to_host()[static_cast<std::size_t>((1 * 9 + 7) * 18 + 5)]);

    const double scale = Code::unit_scale(statistics);
    tokenizer.set_scale(scale);
    const auto latents = tokenizer.draw(statistics, 1);
    CHECK(static_cast<double>(mean(latents * latents).item()) == doctest::Approx(1.0).epsilon(1e-4));
    CHECK(tokenizer.decode(latents).to_host() == model->decode(model->encode(images), decoding).to_host());
    CHECK_THROWS_WITH_AS(tokenizer.set_scale(0.0), "FlowMoTokenizer: expected a positive scale, found 0", Error);
    CHECK_THROWS_AS(static_cast<void>(Code::unit_scale(statistics * 0.0)), Error);
}
