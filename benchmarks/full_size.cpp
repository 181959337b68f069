// The published sizes end to end on the CPU backend, random weights: FlowMo-Lo reconstructs one 256×256 image (25
// steps, guided in the interval: 31 decoder passes) and FAR-B generates one (10 levels, 100 diffusion steps, guidance).
// Each case runs once and takes minutes. With bf16:1, products take bf16 operands (Bf16Products); the counter psnr_dB
// compares its image with the image of bf16:0 of the same process.
#include <benchmark/benchmark.h>
#include <cmath>
#include <string_view>
#include <sys/resource.h>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/far/model.hpp"
#include "flowfar/flowmo/model.hpp"
#include "flowfar/metrics/psnr.hpp"
#include "flowfar/nn/init.hpp"

namespace {

using namespace flowfar;

void report_peak(benchmark::State& state) {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    state.counters["peak_GiB"] = static_cast<double>(usage.ru_maxrss) / (1024.0 * 1024.0);
}

void flowmo_lo_reconstruct(benchmark::State& state) {
    using Model = FlowMo<FlowMoLo, Cpu>;
    static std::vector<float> exact;
    const Bf16Products products(state.range(0) == 1);
    Model model;
    model.initialize(1);
    // Fresh gates are zero and would make every block the identity.
    for (auto& block : model.decoder.double_blocks) {
        init::uniform(block.image.mod.lin.weight, 0.03, 1);
        init::uniform(block.code.mod.lin.weight, 0.03, 2);
    }
    const auto image = Model::Images::uniform({1, 3, 256, 256}, 2);
    std::vector<float> found;
    for (auto _ : state) {
        found = model.decode(model.encode(image), {.seed = 3}).to_host();
    }
    report_peak(state);
    if (state.range(0) == 0) {
        exact = found;
    } else if (!exact.empty()) {
        state.counters["psnr_dB"] = metrics::psnr(exact, found, 2.0);
    }
}
BENCHMARK(flowmo_lo_reconstruct)
    ->ArgName("bf16")
    ->Arg(0)
    ->Arg(1)
    ->Iterations(1)
    ->UseRealTime()
    ->Unit(benchmark::kSecond);

void far_b_generate(benchmark::State& state) {
    using Model = Far<FarB, Cpu>;
    const Bf16Products products(state.range(0) == 1);
    Model model;
    model.initialize(1);
    // A fresh denoising network gives zeros.
    init::uniform(model.head.net.linear.weight, 0.03, 1);
    for (auto& block : model.head.net.res_blocks) {
        init::uniform(block.modulation.weight, 0.03, 2);
    }
    const std::vector<Index> labels{207};
    FarSampleOptions options;
    options.seed = 3;
    for (auto _ : state) {
        benchmark::DoNotOptimize(FarSampler<Model>(model, options)(labels));
    }
    report_peak(state);
}
BENCHMARK(far_b_generate)->ArgName("bf16")->Arg(0)->Arg(1)->Iterations(1)->UseRealTime()->Unit(benchmark::kSecond);

}  // namespace
