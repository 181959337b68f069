#include "flowfar/backend/cuda/runtime/graph.hpp"

#include <optional>

#include "flowfar/samplers_cuda/far.hpp"
#include "flowfar/samplers_cuda/flowmo.hpp"

#include "twin.hpp"
#include "twin_model.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Model = FlowMo<FlowMoNano, Cuda>;

const Model& model() {
    static const Model made = [] {
        Model out;
        copy_parameters(out, noisy_model<FlowMo<FlowMoNano, Cpu>>(3));
        return out;
    }();
    return made;
}

}  // namespace

TEST_CASE("cuda: a recorded step of FlowMo's sampler replays with new operands, bit for bit") {
    const auto z = Model::Images::normal({2, 3, 16, 16}, 1);
    const auto t = Model::Times::full({2}, 0.9);
    const auto code = Model::with_mask(Model::Codes(Cuda::normal({2, 8, 18}, DType::f32, 2, 0)));
    cuda::Graph graph;
    const auto v = graph.record([&] { return model().velocity(z, code, t); });
    for (const std::uint64_t step : {1U, 2U, 3U}) {
        Cuda::assign(z.handle(), Cuda::normal({2, 3, 16, 16}, DType::f32, step, 0));
        Cuda::assign(t.handle(), Cuda::full({2}, DType::f32, 0.25 * static_cast<double>(step)));
        Cuda::assign(code.handle(), Cuda::normal({2, 8, 19}, DType::f32, step, 7));
        graph.replay();
        CHECK(v.to_host() == model().velocity(z, code, t).to_host());
    }
}

TEST_CASE("cuda: a graph's result outlives other work, and its memory is given back with it") {
    static_cast<void>(model());
    const std::size_t before = Cuda::memory_use().used;
    {
        const Handle x = Cuda::full({1000}, DType::f32, 2.0);
        const float three = 3.0F;
        std::optional<cuda::Graph> graph(std::in_place);
        const Handle y = graph->record([&] {
            const Handle factor = Cuda::from_host(&three, {}, DType::f32);
            return Cuda::binary(BinaryOp::mul, Cuda::unary({UnaryOp::square}, x), factor);
        });
        for (int i = 0; i < 3; ++i) {
            static_cast<void>(Cuda::full({1000}, DType::f32, 5.0));
            graph->replay();
            CHECK((values_of<Cuda>(y) == std::vector<double>(1000, 12.0 * (i == 0 ? 1.0 : 4.0 * i * i))));
            Cuda::assign(x, Cuda::full({1000}, DType::f32, 4.0 * (i + 1)));
        }
    }
    CHECK(Cuda::memory_use().used == before);
}

TEST_CASE("cuda: work that waits cannot be recorded, and the backend goes on") {
    const Handle x = Cuda::full({4}, DType::f32, 2.0);
    cuda::Graph graph;
    bool first = true;
    const auto waits = [&] {
        if (!std::exchange(first, false)) {
            static_cast<void>(values_of<Cuda>(x));
        }
        return x;
    };
    CHECK_THROWS_AS(static_cast<void>(graph.record(waits)), Error);
    CHECK_THROWS_WITH_AS(graph.replay(), "cuda graph: nothing was recorded", Error);
    CHECK((values_of<Cuda>(Cuda::unary({UnaryOp::square}, x)) == std::vector<double>(4, 4.0)));
}

TEST_CASE("cuda: FlowMo decodes to the same bits when every step is a graph") {
    const Tokens tokens = model().encode(Model::Images::normal({2, 3, 16, 16}, 1));
    FlowMoGraphSampler<FlowMoNano> sampler(model(), 2);
    for (const std::uint64_t seed : {1U, 2U}) {
        for (const double guidance : {1.0, 1.5}) {
            const FlowMoDecodeOptions options{.steps = 5, .guidance = guidance, .seed = seed};
            CHECK(sampler.decode(tokens, options).to_host() == model().decode(tokens, options).to_host());
        }
    }
    using Narrow = FlowMo<FlowMoNano, Cuda, bf16>;
    Narrow narrow;
    copy_parameters(narrow, noisy_model<FlowMo<FlowMoNano, Cpu>>(3));
    FlowMoGraphSampler<FlowMoNano, bf16> narrow_sampler(narrow, 2);
    CHECK(narrow_sampler.decode(tokens, {.steps = 4}).to_host() == narrow.decode(tokens, {.steps = 4}).to_host());
    const Tokens one = model().encode(Model::Images::normal({1, 3, 16, 16}, 1));
    CHECK_THROWS_WITH_AS(static_cast<void>(sampler.decode(one)), "FlowMoGraphSampler: made for a batch of 2, found 1",
                         Error);
}

namespace {

template <class C, class T>
void check_far_graphs(FarSampleOptions options) {
    using OnCuda = Far<C, Cuda, T>;
    OnCuda model;
    copy_parameters(model, noisy_model<Far<C, Cpu>>(5));
    options.levels = {0, 2, 4};
    options.steps = DiffusionSteps::list({4, 5, 3});  // too few steps are not recorded
    FarGraphSampler<C, T> recorded(model, options);
    const FarSampler<OnCuda> direct(model, options);
    for (const std::vector<Index>& labels : {std::vector<Index>{3, 9, no_class}, {1}, {4}}) {
        int seen = 0;
        const auto found = recorded(labels, [&](const auto& step) { return step.step == ++seen; });
        CHECK(seen == 3);
        CHECK(found.to_host() == direct(labels).to_host());
    }
}

}  // namespace

TEST_CASE("cuda: FAR samples the same bits when diffusion steps are graphs") {
    check_far_graphs<FarNano, float>({.guidance = 2.0, .seed = 7});
    check_far_graphs<FarNano, float>({.guidance = 2.0, .temperature = 0.9, .limit = 2.0, .seed = 8});
    check_far_graphs<FarNano, float>({.guidance = 1.0, .temperature = 0.0});
    check_far_graphs<Masked<FarNano>, bf16>({.guidance = 3.0, .guidance_schedule = FarGuidance::constant, .seed = 9});
}

TEST_CASE("cuda: FAR's recorded steps can be stopped") {
    Far<FarNano, Cuda> model;
    copy_parameters(model, noisy_model<Far<FarNano, Cpu>>(5));
    int asked = 0;
    FarSampleOptions options{.levels = {0, 4}, .steps = DiffusionSteps::list({4, 6}), .guidance = 2.0};
    options.stop = [&asked] { return ++asked > 7; };  // in the second level
    const auto direct = FarSampler<Far<FarNano, Cuda>>(model, options)(std::vector<Index>{3});
    asked = 0;
    FarGraphSampler<FarNano> recorded(model, options);
    CHECK(recorded(std::vector<Index>{3}).to_host() == direct.to_host());
    CHECK(asked == 8);
}

TEST_CASE("cuda: a number on the device multiplies and shifts as a double does") {
    const double a = 0.1;
    const double b = -0.7;
    const auto check = [&]<class T>() {
        using X = Tensor<Cuda, Shape<dyn>, T>;
        const X x = X::normal({1000}, 3);
        const cuda::DeviceNumber first(a);
        const cuda::DeviceNumber second(Cuda::full({3}, DType::f32, b), 2);
        CHECK((x * first).to_host() == (x * a).to_host());
        CHECK(affine(x, first, second).to_host() == affine(x, a, b).to_host());
    };
    check.template operator()<float>();
    check.template operator()<bf16>();
}
