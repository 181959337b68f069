/// FAR's model and sampler beyond the recorded cases: determinism, empty sequences, cancellation, wrong input.

#include <cmath>
#include <doctest/doctest.h>
#include <limits>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/far/model.hpp"

#include "approx.hpp"

using namespace flowfar;
using flowfar::testing::difference_of;

namespace {

struct Small : FarTiny {
    static constexpr std::string_view name = "Small";
    static constexpr Index channels = 3;
    static constexpr Index side = 6;
    static constexpr Index patch = 1;
    static constexpr Index buffer = 2;
    static constexpr Index hidden = 32;
    static constexpr Index heads = 2;
    static constexpr Index encoder_depth = 1;
    static constexpr Index decoder_depth = 2;
    static constexpr Index head_width = 50;  // no multiple of any vector
    static constexpr Index head_depth = 1;
};
/// Without buffer positions the encoder's sequence is empty in the first masked step.
struct NoBuffer : Small {
    static constexpr Index buffer = 0;
    static constexpr Index patch = 2;
};

/// Random parameters everywhere: a fresh model's output layers are zero.
template <class Model>
Model make(std::uint64_t seed = 1) {
    Model model;
    model.initialize(seed);
    for_each_parameter(model, [&](const auto& p) {
        if (p.name.find("diffloss") != std::string::npos) {
            const auto fresh = Cpu::normal(p.extents(), DType::f32, fold(seed, p.name), 0);
            Cpu::assign(p.value(), Cpu::unary({UnaryOp::affine, 0.1, 0.0}, fresh));
        }
    });
    return model;
}

FarSampleOptions quick(std::vector<Index> levels = {0, 2, 4}) {
    FarSampleOptions options{.guidance = 3.0,
                             .guidance_schedule = FarGuidance::linear,
                             .temperature_schedule = FarTemperature::published,
                             .limit = 0.0};
    options.levels = std::move(levels);
    options.steps = DiffusionSteps::list(std::vector<int>(options.levels.size(), 4));
    options.seed = 7;
    return options;
}

template <AnyTensor X>
std::vector<double> values(const X& x) {
    const auto host = x.to_host();
    return {host.begin(), host.end()};
}

const std::vector<Index> labels{3, 0, 9, 3, no_class};

template <class Model>
void check_determinism() {
    const Model model = make<Model>();
    const FarSampler<Model> sampler(model, quick());
    const auto together = sampler(labels);
    CHECK(together.extents() == Extents{5, 3, 6, 6});
    for (const double value : values(together)) {
        CHECK(std::isfinite(value));
    }
    const int threads = Cpu::threads();
    Cpu::set_threads(threads == 3 ? 2 : 3);
    CHECK(sampler(labels).to_host() == together.to_host());
    Cpu::set_threads(threads);
    for (Index i = 0; i < 5; ++i) {
        FarSampleOptions options = quick();
        options.first_sample = static_cast<std::uint64_t>(i);
        const std::vector<Index> one{labels[static_cast<std::size_t>(i)]};
        const auto alone = FarSampler<Model>(model, options)(one);
        CHECK(alone.to_host() == slice<0>(together, i, i + 1).to_host());
    }
    // The two samples of class 3 differ, and so do seeds.
    CHECK(difference_of(values(slice<0>(together, 0, 1)), values(slice<0>(together, 3, 4)), 1e-2) != "");
    FarSampleOptions other = quick();
    other.seed = 8;
    CHECK(difference_of(values(FarSampler<Model>(model, other)(labels)), values(together), 1e-2) != "");
}

}  // namespace

TEST_CASE("the same samples for any batch size and number of threads") {
    check_determinism<Far<Small, Cpu>>();
    check_determinism<Far<Masked<NoBuffer>, Cpu>>();
}

TEST_CASE("any increasing level list, one step included; a callback sees every level and can stop") {
    using Model = Far<Small, Cpu>;
    const Model model = make<Model>();
    for (const std::vector<Index>& levels : {std::vector<Index>{0}, {5}, {0, 1, 2, 3, 4, 5}}) {
        std::vector<Index> seen;
        std::vector<double> last;
        const FarSampler<Model> sampler(model, quick(levels));
        const auto result = sampler(labels, [&](const auto& step) {
            seen.push_back(step.level);
            CHECK(step.step == static_cast<int>(seen.size()));
            CHECK(step.steps == static_cast<int>(levels.size()));
            CHECK(step.diffusion_steps == 4);
            last = values(step.estimate);
            return true;
        });
        CHECK(seen == levels);
        CHECK(values(result) == last);
    }
    int calls = 0;
    std::vector<double> second;
    const FarSampler<Model> sampler(model, quick({0, 1, 3, 5}));
    const auto stopped = sampler(labels, [&](const auto& step) {
        second = values(step.estimate);
        return ++calls < 2;
    });
    CHECK(calls == 2);
    CHECK(values(stopped) == second);
    CHECK(FarSampler<Model>(model, {}).options().levels == std::vector<Index>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("sampling can be canceled inside a level, and predictions limited") {
    using Model = Far<Small, Cpu>;
    const Model model = make<Model>();
    FarSampleOptions options = quick({0, 1, 3});
    std::vector<double> first;
    const auto keep = [&](const auto& step) {
        first = step.step == 1 ? values(step.estimate) : first;
        return true;
    };
    int asked = 0;
    options.stop = [&] { return ++asked > 6; };  // in the second of three levels of four steps
    CHECK(values(FarSampler<Model>(model, options)(labels, keep)) == first);
    CHECK(asked == 7);
    options.stop = [] { return true; };
    for (const double value : values(FarSampler<Model>(model, options)(labels))) {
        CHECK(value == 0.0);
    }

    FarSampleOptions limited = quick();
    limited.temperature = 0.0;
    limited.limit = 0.01;
    for (const double value : values(FarSampler<Model>(model, limited)(labels))) {
        CHECK(std::fabs(value) <= 0.01 + 1e-6);
    }
    limited.limit = -1.0;
    CHECK_THROWS_WITH_AS((FarSampler<Model>(model, limited)), "limit: expected a finite number of at least 0, found -1",
                         Error);
}

TEST_CASE("guidance 1 needs no null rows; otherwise it changes the result") {
    using Model = Far<Small, Cpu>;
    const Model model = make<Model>();
    FarSampleOptions options = quick();
    options.guidance = 1.0;
    const auto plain = values(FarSampler<Model>(model, options)(labels));
    options.guidance_schedule = FarGuidance::constant;
    options.guidance = 1.0 + 1e-9;  // computes the null rows, and does not use them
    CHECK(difference_of(values(FarSampler<Model>(model, options)(labels)), plain, 1e-5) == "");
    options.guidance = 3.0;
    CHECK(difference_of(values(FarSampler<Model>(model, options)(labels)), plain, 1e-3) != "");
    options = quick();
    options.filter_between = false;
    CHECK(difference_of(values(FarSampler<Model>(model, options)(labels)),
                        values(FarSampler<Model>(model, quick())(labels)), 1e-3) != "");
}

TEST_CASE("hidden tokens do not influence the conditions of others") {
    using Model = Far<Masked<Small>, Cpu>;
    const Model model = make<Model>();
    std::vector<Index> orders;
    for (Index i = 0; i < 72; ++i) {
        orders.push_back(i % 36);
    }
    const std::vector<Index> two{1, 2};
    const auto x = Model::Tokens::normal({2, 36, 3}, 4);
    const TokenMask mask(orders, 36, 10);
    const auto z = model.conditions(x, two, &mask);
    // Change the hidden tokens: nothing may move. Change a visible one: it must.
    std::vector<float> visible(72, 1.0F);
    for (const Index sample : {0, 36}) {
        std::fill_n(visible.begin() + sample, 10, 0.0F);
    }
    const auto kept = Tensor<Cpu, Shape<dyn, 36, 1>>::from_host(visible, {2, 36, 1});
    CHECK(model.conditions(x * kept, two, &mask).to_host() == z.to_host());
    CHECK(model.conditions(x * 1.01, two, &mask).to_host() != z.to_host());
    CHECK(difference_of(values(model.conditions(x, two)), values(z), 1e-3) != "");
    const TokenMask all(orders, 36, 36);
    CHECK(model.conditions(x, two, &all).to_host() == model.conditions(x * 2.0, two, &all).to_host());
}

TEST_CASE("wrong input is named") {
    using Model = Far<Small, Cpu>;
    const Model model = make<Model>();
    const auto sampler = [&](const FarSampleOptions& options) { return FarSampler<Model>(model, options); };
    const auto with = [](auto set) {
        FarSampleOptions options = quick();
        set(options);
        return options;
    };
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_WITH_AS(sampler(with([&](auto& o) { o.guidance = nan; })),
                         "guidance: expected a finite number, found nan", Error);
    CHECK_THROWS_AS(sampler(with([](auto& o) { o.temperature = -1.0; })), Error);
    CHECK_THROWS_WITH_AS(sampler(with([](auto& o) { o.levels = {0, 3, 3}; })),
                         "levels: level 2 is 3, expected more than 3: levels must increase", Error);
    CHECK_THROWS_WITH_AS(sampler(with([](auto& o) { o.levels = {0, 6}; })), "levels: level 1 is 6, expected at most 5",
                         Error);
    CHECK_THROWS_WITH_AS(sampler(with([](auto& o) { o.steps = DiffusionSteps::constant(2000); })),
                         "diffusion steps: 2000 at autoregressive step 0, expected 1 to 1000", Error);
    const std::vector<Index> wrong{3, 10};
    CHECK_THROWS_WITH_AS(static_cast<void>(sampler(quick())(wrong)),
                         "Small: label 10, expected 0 to 9 or -1 for no class", Error);
    CHECK_THROWS_AS(static_cast<void>(sampler(quick())(std::vector<Index>{})), Error);
    CHECK_THROWS_WITH_AS(Model::Latents(Cpu::full({1, 3, 5, 6}, DType::f32, 0.0)),
                         "Tensor: expected extents [any, 3, 6, 6], found [1, 3, 5, 6]", Error);
}
