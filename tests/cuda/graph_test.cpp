#include "flowfar/backend/cuda/graph.hpp"

#include <optional>

#include "flowfar/flowmo/graph_sampler.hpp"

#include "twin.hpp"
#include "twin_model.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

using Model = FlowMoModel<FlowMoNano, Cuda>;

const Model& model() {
    static const Model made = [] {
        Model out;
        copy_parameters(out, noisy_model<FlowMoModel<FlowMoNano, Cpu>>(3));
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
    using Narrow = FlowMoModel<FlowMoNano, Cuda, bf16>;
    Narrow narrow;
    copy_parameters(narrow, noisy_model<FlowMoModel<FlowMoNano, Cpu>>(3));
    FlowMoGraphSampler<FlowMoNano, bf16> narrow_sampler(narrow, 2);
    CHECK(narrow_sampler.decode(tokens, {.steps = 4}).to_host() == narrow.decode(tokens, {.steps = 4}).to_host());
    const Tokens one = model().encode(Model::Images::normal({1, 3, 16, 16}, 1));
    CHECK_THROWS_WITH_AS(static_cast<void>(sampler.decode(one)), "FlowMoGraphSampler: made for a batch of 2, found 1",
                         Error);
}
