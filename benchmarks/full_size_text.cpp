// One prompt at the published sizes on the CPU backend, random weights: Qwen2-1.5B with bf16 weights reads 20 tokens
// behind FAR's instruction, FAR's text-to-image model generates (10 levels, 100 diffusion steps, guidance) with
// products of bf16 numbers, KL-16 decodes. The language model is gone before the image model is there. Runs once, and
// takes minutes; the counters are seconds of each part and the peak of the process's memory.
#include <benchmark/benchmark.h>
#include <chrono>
#include <optional>
#include <sys/resource.h>
#include <utility>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/far/text/model.hpp"
#include "flowfar/far/vae/model.hpp"
#include "flowfar/nn/init.hpp"
#include "flowfar/qwen2/prefix.hpp"
#include "flowfar/text/far_instruction.hpp"

namespace {

using namespace flowfar;

/// Seconds since the last call.
class Clock {
   public:
    double lap() {
        const auto now = std::chrono::steady_clock::now();
        const std::chrono::duration<double> seconds = now - std::exchange(last_, now);
        return seconds.count();
    }

   private:
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

void prompt_to_image(benchmark::State& state) {
    using Language = Qwen2<Qwen1B5, Cpu, bf16>;
    using Model = FarText<FarText256, Cpu>;
    const Bf16Products products;
    constexpr Index padding = 151643;
    std::optional<Language> language(Language::random(1));
    std::vector<Index> ids(far_instruction.begin(), far_instruction.end());
    std::vector<Index> mask(ids.size(), 1);
    for (Index i = 0; i < FarText256::context_tokens; ++i) {  // padding on the left
        const bool real = i >= FarText256::context_tokens - 20;
        ids.push_back(real ? 1000 + i : padding);
        mask.push_back(real ? 1 : 0);
    }
    for (auto _ : state) {
        Clock clock;
        std::optional<Qwen2Prefix<Language>> reader(std::in_place, *language, far_instruction,
                                                    FarText256::context_tokens, padding);
        state.counters["instruction_s"] = clock.lap();
        const auto states = (*reader)(ids, mask);
        state.counters["prompt_s"] = clock.lap();
        reader.reset();
        language.reset();
        Model model = Model::random(2);
        init::uniform(model.head.net.linear.weight, 0.03, 1);  // a fresh denoising network gives zeros
        for (auto& block : model.head.net.res_blocks) {
            init::uniform(block.modulation.weight, 0.03, 2);
        }
        const auto vae = Vae<Kl16, Cpu>::random(3);
        clock.lap();  // making random weights is no part of the work
        const auto latents = model.generate(Model::Context(Cpu::cast(states.handle(), DType::f32)), {.seed = 3});
        state.counters["latents_s"] = clock.lap();
        benchmark::DoNotOptimize(vae.decode(latents));
        state.counters["decode_s"] = clock.lap();
    }
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    state.counters["peak_GiB"] = static_cast<double>(usage.ru_maxrss) / (1024.0 * 1024.0);
}
BENCHMARK(prompt_to_image)->Iterations(1)->UseRealTime()->Unit(benchmark::kSecond);

}  // namespace
