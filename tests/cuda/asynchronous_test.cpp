// What the host does not wait for, while a test holds the stream's work back.
#include "flowfar/far/train.hpp"
#include "flowfar/flowmo/train.hpp"
#include "flowfar/perceptual/input.hpp"

#include "lazily.hpp"
#include "twin.hpp"
#include "twin_model.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

template <class Trainer>
std::vector<float> weights_of(Trainer& trainer) {
    std::vector<float> out;
    for (const auto& p : parameters(trainer.model())) {
        std::vector<float> values(static_cast<std::size_t>(p.count()));
        Cuda::to_host(p.value(), values.data());
        out.insert(out.end(), values.begin(), values.end());
    }
    return out;
}

/// Three steps with a report at once, and three that are queued before the first report is asked for: the same bits.
template <class Make, class Step>
void check_queued_steps(Make make, Step queue) {
    const auto at_once = make();
    std::vector<double> losses;
    std::vector<double> norms;
    for (int step = 0; step < 3; ++step) {
        const auto report = queue(*at_once).get();
        losses.push_back(report.loss);
        norms.push_back(report.gradient_norm);
        CHECK(std::isfinite(report.loss));
    }
    const auto ahead = make();
    static_cast<void>(queue(*ahead).get());
    {
        const Lazily lazily;
        auto second = queue(*ahead);
        auto third = queue(*ahead);
        CHECK(lazily.waited(0));
        lazily.go_on();
        CHECK(second.get().loss == losses[1]);
        CHECK(lazily.waited(1));
        CHECK(lazily.has_more());  // nobody waited for the third
        CHECK(third.get().gradient_norm == norms[2]);
    }
    CHECK((weights_of(*ahead) == weights_of(*at_once)));
}

}  // namespace

TEST_CASE("cuda: host memory has been read when from_host returns, without waiting for the device") {
    for (const std::size_t count : {std::size_t{10}, std::size_t{100000}}) {
        const Lazily lazily(count * sizeof(float));
        std::vector<Handle> made;
        for (int i = 0; i < 6; ++i) {
            std::vector<float> values(count, static_cast<float>(i));
            made.push_back(Cuda::from_host(values.data(), {static_cast<Index>(count)}, DType::f32));
            values.assign(count, -1.0F);
            CHECK((i >= static_cast<int>(cuda::Staging::in_flight) || lazily.waited(0)));
            if (i + 1 == static_cast<int>(cuda::Staging::in_flight)) {
                lazily.go_on();
            }
        }
        for (int i = 0; i < 6; ++i) {
            CHECK((values_of<Cuda>(made[static_cast<std::size_t>(i)]) == std::vector<double>(count, i)));
        }
    }
}

TEST_CASE("cuda: page-locked memory is read when the stream gets there") {
    float* values = nullptr;
    constexpr Index count = 100000;
    REQUIRE(cudaHostAlloc(&values, count * sizeof(float), cudaHostAllocDefault) == cudaSuccess);
    {
        const Lazily lazily;
        std::fill(values, values + count, 1.0F);
        const Handle h = Cuda::from_host(values, {count}, DType::f32);
        std::fill(values, values + count, 2.0F);
        lazily.go_on();
        CHECK((values_of<Cuda>(h) == std::vector<double>(count, 2.0)));
    }
    cudaFreeHost(values);
}

TEST_CASE("cuda: fetched elements are waited for, but nothing that was queued later") {
    const Handle h = Cuda::full({3, 5}, DType::f32, 0.0);
    const auto fetch_and_assign = [&](double next) {
        auto fetched = Cuda::fetch(Cuda::permute(h, {1, 0}));
        Cuda::assign(h, Cuda::full({3, 5}, DType::f32, next));
        return fetched;
    };
    static_cast<void>(fetch_and_assign(7.0));  // loads the kernels
    const Lazily lazily;
    const auto fetched = fetch_and_assign(8.0);
    CHECK(lazily.waited(0));
    lazily.go_on();
    const auto* const values = static_cast<const float*>(fetched->wait());
    CHECK((std::vector<float>(values, values + 15) == std::vector<float>(15, 7.0F)));
    CHECK(lazily.waited(1));
    CHECK(lazily.has_more());
    CHECK((values_of<Cuda>(h) == std::vector<double>(15, 8.0)));
}

TEST_CASE("cuda: steps of FlowMo's training are queued without waiting") {
    using Trainer = FlowMoTrainer<FlowMoNano, Cuda>;
    const auto images =
        clamp(Trainer::Images::normal({2, 3, FlowMoNano::image_height, FlowMoNano::image_width}, 8), -1.0, 1.0);
    FlowMoTrainOptions options;
    options.clip = 0.5;
    options.ema_every = 2;
    options.accumulation = 2;
    check_queued_steps([&] { return std::make_unique<Trainer>(options, [](auto& model) { model.initialize(3); }); },
                       [&](Trainer& trainer) { return trainer.queue_step(images); });
}

/// Checks its images as LPIPS and ResNetLogitLoss do.
struct SquaredDifference {
    double weight = 0.1;

    template <AnyTensor X>
    [[nodiscard]] auto operator()(const X& x, const X& prediction) const {
        return loss_of_signed_unit(x, mean(square(x - prediction)), "SquaredDifference");
    }
};

TEST_CASE("cuda: a perceptual loss checks its images without waiting") {
    using Trainer = FlowMoTrainer<FlowMoNano, Cuda, SquaredDifference>;
    const auto images =
        clamp(Trainer::Images::normal({2, 3, FlowMoNano::image_height, FlowMoNano::image_width}, 8), -1.0, 1.0);
    const auto make = [] {
        return std::make_unique<Trainer>(FlowMoTrainOptions{}, [](auto& model) { model.initialize(3); });
    };
    check_queued_steps(make, [&](Trainer& trainer) { return trainer.queue_step(images); });
    for (const auto& wrong : {Trainer::Images(images * 1.1), Trainer::Images(images / 0.0)}) {
        const auto trainer = make();
        CHECK_THROWS_WITH_AS(static_cast<void>(trainer->step(wrong)), doctest::Contains("not finite at step 0"), Error);
    }
}

TEST_CASE("cuda: steps of FAR's training are queued without waiting") {
    using Trainer = FarTrainer<FarNano, Cuda>;
    const auto latents = Trainer::Latents::normal({2, FarNano::channels, FarNano::side, FarNano::side}, 8);
    const std::vector<Index> labels{1, 0};
    check_queued_steps(
        [&] { return std::make_unique<Trainer>(FarTrainOptions{}, [](auto& model) { model.initialize(3); }); },
        [&](Trainer& trainer) { return trainer.queue_step(latents, labels); });
}

TEST_CASE("cuda: a step whose gradient is not finite changes no parameter and is reported") {
    using Trainer = FlowMoTrainer<FlowMoNano, Cuda>;
    FlowMoTrainOptions options;
    options.fixed_norms = false;  // restoring them rounds
    Trainer trainer(options, [](auto& model) { model.initialize(3); });
    const auto images = Trainer::Images::zeros({1, 3, FlowMoNano::image_height, FlowMoNano::image_width});
    const auto before = weights_of(trainer);
    auto broken = trainer.queue_step(images / 0.0);
    CHECK((weights_of(trainer) == before));
    CHECK_THROWS_WITH_AS(static_cast<void>(broken.get()), doctest::Contains("not finite at step 0"), Error);
    CHECK(std::isfinite(trainer.step(images).loss));
    CHECK((weights_of(trainer) != before));
}
