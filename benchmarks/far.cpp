// FAR on the CPU backend at the sizes of FAR-B: a transformer block, the denoising network, the autoencoder's decoder;
// and the small model's training step. With bf16:1, products take bf16 operands (Bf16Products).
#include <benchmark/benchmark.h>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/far/train.hpp"
#include "flowfar/far/vae/model.hpp"
#include "flowfar/nn/vit_block.hpp"

namespace {

using namespace flowfar;

/// Four images with guidance: eight sequences of 64 + 256 tokens.
void transformer_block(benchmark::State& state) {
    const Bf16Products products(state.range(0) == 1);
    using Block = VitBlock<Cpu, FarB::hidden, FarB::heads>;
    Block block;
    block.initialize(1);
    const auto x = Block::Sequence::normal({8, 320, FarB::hidden}, 1);
    for (auto _ : state) {
        benchmark::DoNotOptimize(block(x));
    }
}
BENCHMARK(transformer_block)->ArgName("bf16")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);

/// One step of the denoising network for the tokens of eight images with guidance: 4096 rows.
void denoising_network(benchmark::State& state) {
    const Bf16Products products(state.range(0) == 1);
    using Network = DenoisingMlp<Cpu, FarB::channels, FarB::hidden, FarB::head_width>;
    Network network(FarB::head_depth);
    network.initialize(1);
    constexpr Index rows = 4096;
    const auto z = Network::Conditions::normal({rows, FarB::hidden}, 1);
    const auto x = Network::Rows::normal({rows, FarB::channels}, 2);
    const auto t = Tensor<Cpu, Shape<dyn>>::full({1}, 500.0);
    const auto level = Network::Scalars::full({1, 1}, 5.0);
    const auto condition = network.condition(z, level);
    for (auto _ : state) {
        benchmark::DoNotOptimize(network(x, condition + network.times(t)));
    }
    state.SetItemsProcessed(state.iterations() * rows);
}
BENCHMARK(denoising_network)->ArgName("bf16")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);

/// One 256×256 image.
void vae_decode(benchmark::State& state) {
    const Bf16Products products(state.range(0) == 1);
    Vae<Kl16, Cpu> vae;
    vae.initialize(1);
    const auto latents = Vae<Kl16, Cpu>::Latents::normal({1, 16, 16, 16}, 1);
    for (auto _ : state) {
        benchmark::DoNotOptimize(vae.decode(latents));
    }
}
BENCHMARK(vae_decode)->ArgName("bf16")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);

void tiny_training_step(benchmark::State& state) {
    const Bf16Products products(state.range(0) == 1);
    using Trainer = FarTrainer<FarTiny, Cpu>;
    Trainer trainer({}, [](auto& model) { model.initialize(1); });
    const auto latents = Trainer::Latents::normal({64, FarTiny::channels, FarTiny::side, FarTiny::side}, 1);
    const std::vector<Index> labels(64, 1);
    for (auto _ : state) {
        benchmark::DoNotOptimize(trainer.step(latents, labels));
    }
    state.SetItemsProcessed(state.iterations() * 64);
}
BENCHMARK(tiny_training_step)->ArgName("bf16")->Arg(0)->Arg(1)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
