// How time grows with batch, image size, tokens, codebook and threads; benchmarks/scaling.py fits exponents. The first
// argument of each benchmark is what grows. With bf16:1, products take bf16 operands (Bf16Products).
#include <array>
#include <benchmark/benchmark.h>
#include <span>
#include <vector>

#include "flowfar/autoregressive/head/denoising_mlp.hpp"
#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/far/config.hpp"
#include "flowfar/far/vae/model.hpp"
#include "flowfar/flowmo/train.hpp"
#include "flowfar/nn/vit_block.hpp"

namespace {

using namespace flowfar;

/// Runs `work` for each iteration with the precision that the second argument names.
template <class Work>
void measure(benchmark::State& state, Work&& work) {
    const Bf16Products products(state.range(1) == 1);
    for (auto _ : state) {
        benchmark::DoNotOptimize(work());
    }
}

/// A benchmark over `values` of one quantity, in f32 and with bf16 operands.
void over(const char* what, void (*function)(benchmark::State&), const char* name,
          const std::vector<std::int64_t>& values) {
    benchmark::RegisterBenchmark(name, function)
        ->ArgNames({what, "bf16"})
        ->ArgsProduct({values, {0, 1}})
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
}

/// A double-stream block of FlowMo-Lo's decoder: 256 code tokens beside the image's tokens.
void decoder_block(benchmark::State& state, Index batch, Index image_tokens) {
    using Block = DoubleBlock<Cpu, 1152, 12, float>;
    Block block;
    block.initialize(1);
    const auto image = Block::Sequence::normal({batch, image_tokens, 1152}, 1);
    const auto code = Block::Sequence::normal({batch, 256, 1152}, 2);
    const auto vec = Block::Vector::normal({batch, 1152}, 3);
    const std::vector<std::array<Index, 3>> ids(static_cast<std::size_t>(256 + image_tokens), {1, 2, 3});
    const auto table = rope_table<Cpu, 96, float, 3>({12, 42, 42}, std::span<const std::array<Index, 3>>(ids));
    measure(state, [&] { return block(image, code, vec, table); });
}
void block_over_batch(benchmark::State& state) {
    decoder_block(state, state.range(0), 256);
}
void block_over_pixels(benchmark::State& state) {
    decoder_block(state, 1, state.range(0) / 16);
}
void block_over_threads(benchmark::State& state) {
    const int before = Cpu::threads();
    Cpu::set_threads(static_cast<int>(state.range(0)));
    decoder_block(state, 1, 1024);
    Cpu::set_threads(before);
}

void attention_over_tokens(benchmark::State& state) {
    using Heads = Tensor<Cpu, Shape<dyn, 12, dyn, 96>>;
    const Index tokens = state.range(0);
    const auto q = Heads::normal({1, 12, tokens, 96}, 1);
    const auto k = Heads::normal({1, 12, tokens, 96}, 2);
    const auto v = Heads::normal({1, 12, tokens, 96}, 3);
    measure(state, [&] { return attention(q, k, v, 8.0 / 96.0); });
}

void far_block_over_batch(benchmark::State& state) {
    using Block = VitBlock<Cpu, FarB::hidden, FarB::heads>;
    Block block;
    block.initialize(1);
    const auto x = Block::Sequence::normal({state.range(0), 320, FarB::hidden}, 1);
    measure(state, [&] { return block(x); });
}

void denoising_over_tokens(benchmark::State& state) {
    using Network = DenoisingMlp<Cpu, FarB::channels, FarB::hidden, FarB::head_width>;
    Network network(FarB::head_depth);
    network.initialize(1);
    const Index rows = state.range(0);
    const auto condition = Network::Hidden::normal({rows, FarB::head_width}, 1);
    const auto x = Network::Rows::normal({rows, FarB::channels}, 2);
    measure(state, [&] { return network(x, condition); });
}

void vae_over_pixels(benchmark::State& state) {
    Vae<Kl16, Cpu> vae;
    vae.initialize(1);
    Index side = 1;
    while (side * side * 256 < state.range(0)) {
        ++side;
    }
    const auto latents = Vae<Kl16, Cpu>::Latents::normal({1, 16, side, side}, 1);
    measure(state, [&] { return vae.decode(latents); });
}

void training_over_batch(benchmark::State& state) {
    FlowMoTrainer<FlowMoTiny, Cpu> trainer({}, [](auto& model) { model.initialize(1); });
    const auto images = FlowMoTrainer<FlowMoTiny, Cpu>::Images::uniform({state.range(0), 3, 32, 32}, 2);
    measure(state, [&] { return trainer.step(images).loss; });
}

const bool registered = [] {
    over("batch", block_over_batch, "FlowMo-Lo decoder block, 256 + 256 tokens, over the batch", {1, 2, 4, 8});
    over("pixels", block_over_pixels, "FlowMo-Lo decoder block over the image's pixels", {4096, 16384, 36864, 65536});
    over("threads", block_over_threads, "FlowMo-Lo decoder block, 128x128 pixels, over threads", {1, 2});
    over("tokens", attention_over_tokens, "attention, 12 heads of 96, over tokens", {256, 512, 1024, 2048, 4096});
    over("batch", far_block_over_batch, "FAR-B transformer block, 320 tokens, over the batch", {1, 2, 4, 8, 16});
    over("tokens", denoising_over_tokens, "FAR-B denoising network over tokens", {64, 256, 1024, 4096});
    over("pixels", vae_over_pixels, "KL-16 decode over the image's pixels", {4096, 16384, 36864, 65536});
    over("batch", training_over_batch, "FlowMoTiny training step over the batch", {8, 16, 32, 64});
    return true;
}();

}  // namespace
