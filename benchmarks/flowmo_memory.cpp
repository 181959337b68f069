// Peak memory of the full-size FlowMo-Lo (945M parameters, f32) at 256×256, batch 1. Run one case per process, because
// the peak is the process's: flowmo_memory --benchmark_filter=inference. Training takes two steps: Adam's
// moments appear in the first. It needs about 18 GiB.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/flowmo/model.hpp"
#include "flowfar/flowmo/train.hpp"

namespace {

using namespace flowfar;
using Model = FlowMo<FlowMoLo, Cpu>;

void report_peak(benchmark::State& state) {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    state.counters["peak_GiB"] = static_cast<double>(usage.ru_maxrss) / (1024.0 * 1024.0);
}

void inference(benchmark::State& state) {
    Cpu::set_cache_limit(std::size_t{1} << 28);
    Model model;
    model.initialize(1);
    const auto image = Model::Images::uniform({1, 3, 256, 256}, 2);
    for (auto _ : state) {
        const Tokens tokens = model.encode(image);
        // Guidance doubles the batch, so a guided step is what needs the most.
        benchmark::DoNotOptimize(model.decode(tokens, {.steps = 1, .interval = GuidanceInterval::always()}));
    }
    report_peak(state);
}
BENCHMARK(inference)->Iterations(1)->UseRealTime()->Unit(benchmark::kSecond);

void train(benchmark::State& state, std::int64_t ema_every) {
    Cpu::set_cache_limit(std::size_t{1} << 28);
    FlowMoTrainOptions options;
    options.checkpoint_blocks = true;
    options.ema_every = ema_every;
    FlowMoTrainer<FlowMoLo, Cpu> trainer(options, [](auto& model) { model.initialize(1); });
    const auto image = Model::Images::uniform({1, 3, 256, 256}, 2);
    for (auto _ : state) {
        benchmark::DoNotOptimize(trainer.step(image));
    }
    report_peak(state);
}
void training_step(benchmark::State& state) {
    train(state, 10);
}
void training_step_without_ema(benchmark::State& state) {
    train(state, 0);
}
BENCHMARK(training_step)->Iterations(2)->UseRealTime()->Unit(benchmark::kSecond);
BENCHMARK(training_step_without_ema)->Iterations(2)->UseRealTime()->Unit(benchmark::kSecond);

}  // namespace
