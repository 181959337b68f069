/// The host-side parts of FAR: masks, mask policies, schedules, level lists, draws.

#include <algorithm>
#include <cmath>
#include <doctest/doctest.h>
#include <functional>
#include <limits>
#include <numeric>

#include "flowfar/backend/reference.hpp"
#include "flowfar/far/level_schedule.hpp"
#include "flowfar/far/loss.hpp"
#include "flowfar/far/text/config.hpp"

using namespace flowfar;

namespace {

struct Small : FarTiny {
    static constexpr Index channels = 48;
    static constexpr Index side = 4;
    static constexpr Index patch = 1;
};

}  // namespace

TEST_CASE("a mask hides the head of each order and knows the way back") {
    const std::vector<Index> orders{2, 0, 1, 3, 3, 1, 0, 2};
    const TokenMask mask(orders, 4, 2);
    CHECK(mask.batch() == 2);
    CHECK(mask.visible() == 2);
    CHECK(mask.flags() == PoolVector<Index>{1, 0, 1, 0, 0, 1, 0, 1});
    CHECK(mask.kept_rows() == PoolVector<Index>{1, 3, 4, 6});
    CHECK(mask.restoring_rows() == PoolVector<Index>{4, 0, 4, 1, 2, 4, 3, 4});
    const TokenMask twice = mask.doubled();
    CHECK(twice.batch() == 4);
    CHECK(twice.kept_rows() == PoolVector<Index>{1, 3, 4, 6, 9, 11, 12, 14});
    CHECK(TokenMask(orders, 4, 4).kept_rows().empty());
    CHECK_THROWS_WITH_AS(TokenMask(orders, 4, 5), "TokenMask: cannot hide 5 of 4 tokens", Error);
    CHECK_THROWS_AS(TokenMask(orders, 3, 1), Error);
    const std::vector<Index> repeated{0, 1, 1, 3};
    CHECK_THROWS_WITH_AS(TokenMask(repeated, 4, 1), "TokenMask: the order of sample 0 is not a permutation of 0 to 3",
                         Error);
}

TEST_CASE("mask policies") {
    Random random(3);
    CHECK(LinearMask{}.hidden(256, 0, 16, random) == 180);  // ceil(0.7 · 256)
    CHECK(LinearMask{}.hidden(256, 15, 16, random) == 0);
    CHECK(LinearMask{}.hidden(256, 5, 16, random) == 120);  // two thirds of 0.7
    CHECK(random.position() == 0);
    for (const Index level : {0, 8, 15}) {
        const double low = 0.7 * static_cast<double>(level) / 16.0;
        double mean = 0;
        constexpr int draws = 4000;
        for (int i = 0; i < draws; ++i) {
            const Index hidden = TruncatedNormalMask{}.hidden(256, level, 16, random);
            CHECK(static_cast<double>(hidden) >= 256.0 * low);
            CHECK(hidden <= 256);
            mean += (static_cast<double>(hidden) - 0.5) / 256.0 / draws;
        }
        // Mean of a normal(1, 0.25) truncated to [low, 1]: 1 − 0.25·(φ(0) − φ(a)) / (Φ(a) − 1/2), a = (1 − low) / 0.25.
        const double a = (1.0 - low) / 0.25;
        const double density = (1.0 - std::exp(-a * a / 2.0)) / std::sqrt(2.0 * cx::pi);
        CHECK(mean == doctest::Approx(1.0 - 0.25 * density / (0.5 * std::erf(a / std::sqrt(2.0)))).epsilon(0.01));
    }
    CHECK(TruncatedNormalMask{.ignores_level = true}.hidden(64, 0, 16, random) >= 45);
}

TEST_CASE("diffusion steps per autoregressive step") {
    const auto counts = [](const DiffusionSteps& steps, int n) {
        std::vector<std::size_t> out;
        for (int k = 0; k < n; ++k) {
            out.push_back(steps.kept(k, n, 1000).size());
        }
        return out;
    };
    using Counts = std::vector<std::size_t>;
    CHECK(counts(DiffusionSteps::constant(100), 3) == Counts{100, 100, 100});
    CHECK(counts(*FarSampleOptions{.steps = 50}.steps, 2) == Counts{50, 50});
    CHECK(counts(DiffusionSteps::linear(), 10) == Counts{40, 47, 53, 60, 67, 73, 80, 87, 93, 100});
    CHECK(counts(DiffusionSteps::linear_with_mean(70), 4) == Counts{40, 60, 80, 100});
    CHECK(counts(DiffusionSteps::linear_with_mean(35), 4) == Counts{20, 30, 40, 50});
    CHECK(counts(DiffusionSteps::linear(30, 10), 1) == Counts{10});
    CHECK(counts(DiffusionSteps::list({5, 3}), 2) == Counts{5, 3});
    CHECK(DiffusionSteps::spaced("ddim10").kept(0, 4, 1000)[1] == 100);
    CHECK(DiffusionSteps::spaced("ddim10").spelled_out());
    CHECK_FALSE(DiffusionSteps::spaced("10").spelled_out());
    CHECK_FALSE(DiffusionSteps::list({5, 3}).spelled_out());
    CHECK_THROWS_WITH_AS(static_cast<void>(DiffusionSteps::constant(1001).kept(0, 1, 1000)),
                         "diffusion steps: 1001 at autoregressive step 0, expected 1 to 1000", Error);
    CHECK_THROWS_AS(static_cast<void>(DiffusionSteps::list({5, 0}).kept(1, 2, 1000)), Error);
    CHECK_THROWS_WITH_AS(static_cast<void>(DiffusionSteps::list({5, 3}).kept(0, 3, 1000)),
                         "diffusion steps: a list of 2 for 3 autoregressive steps", Error);
    CHECK_THROWS_AS(static_cast<void>(DiffusionSteps::linear_with_mean(std::numeric_limits<double>::quiet_NaN())),
                    Error);
}

TEST_CASE("levels, hidden counts, guidance, temperature") {
    CHECK(default_levels<FarB>() == std::vector<Index>{0, 2, 3, 4, 5, 6, 7, 8, 9, 10});
    CHECK(default_levels<Masked<FarB>>() == std::vector<Index>{0, 12, 12, 4, 5, 6, 7, 8, 9, 10, 11});
    CHECK(default_levels<Masked<FarTiny>>() == std::vector<Index>{0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24});
    CHECK(default_levels<Small>() == std::vector<Index>{0, 1, 2, 3});
    CHECK(spread_levels(16, 1) == std::vector<Index>{0});
    CHECK(spread_levels(16, 4) == std::vector<Index>{0, 1, 5, 12});
    CHECK(spread_levels(32, 10) == std::vector<Index>{0, 1, 2, 3, 5, 7, 11, 15, 19, 24});
    for (Index count = 1; count <= 16; ++count) {
        const std::vector<Index> levels = spread_levels(16, count);
        CHECK(static_cast<Index>(levels.size()) == count);
        CHECK_NOTHROW(check_far_levels(levels, 16, false));
    }
    CHECK_THROWS_WITH_AS(static_cast<void>(spread_levels(16, 17)),
                         "levels: expected 1 to 16 autoregressive steps, found 17", Error);
    CHECK_NOTHROW(check_far_levels(published_masked_levels(), 16, true));
    CHECK_THROWS_AS(check_far_levels(published_masked_levels(), 16, false), Error);
    CHECK_THROWS_WITH_AS(check_far_levels({0, 3, 16}, 16, false), "levels: level 2 is 16, expected at most 15", Error);
    CHECK_THROWS_AS(check_far_levels({0, 5, 4}, 16, false), Error);
    std::vector<Index> all(16);
    std::iota(all.begin(), all.end(), Index{0});
    CHECK_NOTHROW(check_far_levels(all, 16, false));

    CHECK(hidden_after(256, 0, 11) == 253);
    CHECK(hidden_after(256, 10, 11) == 0);
    CHECK(hidden_after(64, 31, 64) == 45);
    CHECK(guidance_at(FarGuidance::linear, 3.0, {0, 10}) == 1.0);
    CHECK(guidance_at(FarGuidance::linear, 3.0, {5, 10}) == 2.0);
    CHECK(guidance_at(FarGuidance::constant, 3.0, {0, 10}) == 3.0);
    CHECK(temperature_at(FarTemperature::published, 1.0, false, 9, 10) == doctest::Approx(1.0));
    CHECK(temperature_at(FarTemperature::published, 1.0, true, 0, 10) == doctest::Approx(0.85));
    for (int k = 0; k < 10; ++k) {  // the released sampler without hidden tokens ignores the temperature
        const double cosine = temperature_at(FarTemperature::cosine, 1.0, false, k, 10);
        CHECK(temperature_at(FarTemperature::published, 0.5, false, k, 10) == cosine);
        CHECK(temperature_at(FarTemperature::cosine, 0.5, false, k, 10) == doctest::Approx(cosine / 2));
    }
    CHECK(temperature_at(FarTemperature::published, 0.5, true, 9, 10) == doctest::Approx(0.85 - 0.35 * 0.9));
    CHECK(temperature_at(FarTemperature::constant, 0.7, true, 3, 10) == 0.7);
    CHECK(frequency_weight(15, 16) == doctest::Approx(2.0));
    CHECK(frequency_weight(0, 16) == doctest::Approx(1.0 + std::sin(cx::pi / 32)));
}

TEST_CASE("draws are a function of the seed and have the asked frequencies") {
    FarLossOptions options;
    options.level_per_sample = true;
    const auto a = FarDraws::make<Masked<Small>>(400, options, 1000, 5);
    const auto b = FarDraws::make<Masked<Small>>(400, options, 1000, 5);
    CHECK(a.levels == b.levels);
    CHECK(a.steps == b.steps);
    CHECK(a.mask->flags() == b.mask->flags());
    CHECK(a.noise_seed == b.noise_seed);
    CHECK(FarDraws::make<Masked<Small>>(400, options, 1000, 6).steps != a.steps);
    CHECK(a.steps.size() == 4 * 400 * 16);
    CHECK(*std::max_element(a.steps.begin(), a.steps.end()) <= 999);
    CHECK(*std::min_element(a.steps.begin(), a.steps.end()) >= 0);
    for (Index level = 0; level < 4; ++level) {
        const auto seen = std::count(a.levels.begin(), a.levels.end(), level);
        CHECK(seen > 60);
        CHECK(seen < 140);
    }
    const auto dropped = std::count(a.keep.begin(), a.keep.end(), Index{0});
    CHECK(dropped > 15);
    CHECK(dropped < 70);
    const auto shared = FarDraws::make<Small>(8, {}, 1000, 5);
    CHECK(!shared.mask.has_value());
    CHECK(std::count(shared.levels.begin(), shared.levels.end(), shared.levels[0]) == 8);
}

TEST_CASE("the text model's draws: a level per sample, and 70% hidden or more whatever the levels") {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const auto draws = FarDraws::make<FarText256>(8, {}, 1000, seed);
        CHECK(std::ranges::adjacent_find(draws.levels, std::not_equal_to<>()) != draws.levels.end());
        CHECK(draws.mask->hidden() >= 180);  // 0.7 · 256 rounded up
    }
}
