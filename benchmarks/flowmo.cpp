// FlowMo on the CPU backend: the small model end to end, and one double-stream block of the full-size decoder. With
// bf16:1, products take bf16 operands (Bf16Products).
#include <benchmark/benchmark.h>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/flowmo/model.hpp"
#include "flowfar/flowmo/train.hpp"

namespace {

using namespace flowfar;
using Model = FlowMo<FlowMoTiny, Cpu>;

const Model& tiny_model() {
    static const Model model = [] {
        Model m;
        m.initialize(1);
        return m;
    }();
    return model;
}

void tiny_encode(benchmark::State& state) {
    const Bf16Products products(state.range(1) == 1);
    const auto images = Model::Images::uniform({state.range(0), 3, 32, 32}, 2);
    for (auto _ : state) {
        benchmark::DoNotOptimize(tiny_model().encode(images));
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(tiny_encode)
    ->ArgNames({"batch", "bf16"})
    ->ArgsProduct({{1, 64}, {0, 1}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void tiny_reconstruct(benchmark::State& state) {
    const Bf16Products products(state.range(1) == 1);
    const auto images = Model::Images::uniform({state.range(0), 3, 32, 32}, 2);
    const Tokens tokens = tiny_model().encode(images);
    for (auto _ : state) {
        benchmark::DoNotOptimize(tiny_model().decode(tokens, {.steps = 25}));
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(tiny_reconstruct)
    ->ArgNames({"batch", "bf16"})
    ->ArgsProduct({{1, 64}, {0, 1}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void tiny_training_step(benchmark::State& state) {
    const Bf16Products products(state.range(0) == 1);
    FlowMoTrainer<FlowMoTiny, Cpu> trainer({}, [](auto& model) { model.initialize(1); });
    const auto images = Model::Images::uniform({64, 3, 32, 32}, 2);
    for (auto _ : state) {
        benchmark::DoNotOptimize(trainer.step(images));
    }
    state.SetItemsProcessed(state.iterations() * 64);
}
BENCHMARK(tiny_training_step)->ArgName("bf16")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);

/// One block of the Lo decoder at 256×256: 226 GFLOP.
void decoder_block(benchmark::State& state) {
    using Block = DoubleBlock<Cpu, 1152, 12, float>;
    const Bf16Products products(state.range(0) == 1);
    Block block;
    block.initialize(1);
    const auto image = Block::Sequence::normal({1, 4096, 1152}, 1);
    const auto code = Block::Sequence::normal({1, 256, 1152}, 2);
    const auto vec = Block::Vector::normal({1, 1152}, 3);
    std::vector<std::array<Index, 3>> ids(4352, {1, 2, 3});
    const auto table = rope_table<Cpu, 96, float, 3>({12, 42, 42}, std::span<const std::array<Index, 3>>(ids));
    for (auto _ : state) {
        benchmark::DoNotOptimize(block(image, code, vec, table));
    }
    const double tokens = 4352.0;
    const double flop = 24.0 * 1152.0 * 1152.0 * tokens + 4.0 * tokens * tokens * 1152.0;
    state.SetItemsProcessed(state.iterations() * static_cast<Index>(flop));
}
BENCHMARK(decoder_block)->ArgName("bf16")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
