// Primitives of the CPU backend at FlowMo's and FAR's sizes. Bytes per second count each operand and result once, to be
// held against `copy`; items per second of gemm and attention are multiply-adds times two (FLOP). With bf16:1, products
// take bf16 operands (Bf16Products).
#include <algorithm>
#include <benchmark/benchmark.h>
#include <cmath>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"

#include "peak.hpp"

namespace {

using namespace flowfar;

Handle random(const Extents& extents, std::uint64_t seed) {
    return Cpu::normal(extents, DType::f32, seed, 0);
}

void set_bytes(benchmark::State& state, Index floats) {
    state.SetBytesProcessed(state.iterations() * floats * static_cast<Index>(sizeof(float)));
}

void copy(benchmark::State& state) {
    const Handle x = random({state.range(0), state.range(1)}, 1);
    const Handle y = Cpu::empty(x.extents(), DType::f32);
    for (auto _ : state) {
        Cpu::assign(y, x);
        benchmark::DoNotOptimize(y.data<float>());
    }
    set_bytes(state, 2 * x.count());
}
BENCHMARK(copy)->Args({4352, 1152})->Args({4352, 4608})->UseRealTime();

BENCHMARK(benchmarks::peak)->Name("peak")->ArgName("bf16")->Arg(0)->Arg(1)->UseRealTime();

void gemm(benchmark::State& state) {
    const Bf16Products products(state.range(3) == 1);
    const Handle x = random({state.range(0), state.range(2)}, 1);
    const Handle w = random({state.range(1), state.range(2)}, 2);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::gemm(x, Cpu::permute(w, {1, 0}), {}, {}));
    }
    state.SetItemsProcessed(state.iterations() * 2 * state.range(0) * state.range(1) * state.range(2));
}
BENCHMARK(gemm)->ArgNames({"M", "N", "K", "bf16"})->Apply([](auto* b) {
    for (const Index bf16 : {0, 1}) {
        b->Args({4352, 1152, 1152, bf16});
        b->Args({4352, 4608, 1152, bf16});
        b->Args({4352, 1152, 4608, bf16});
        b->Args({512, 3072, 768, bf16});
        b->Args({64, 1152, 1152, bf16});
        b->Args({8, 1152, 1152, bf16});
        b->Args({1, 1152, 1152, bf16});
    }
}) -> UseRealTime();

/// Of tensors stored in bf16; so is the result.
void gemm_stored(benchmark::State& state) {
    const Handle x = Cpu::cast(random({state.range(0), state.range(2)}, 1), DType::bf16);
    const Handle w = Cpu::cast(random({state.range(1), state.range(2)}, 2), DType::bf16);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::gemm(x, Cpu::permute(w, {1, 0}), {}, {}));
    }
    state.SetItemsProcessed(state.iterations() * 2 * state.range(0) * state.range(1) * state.range(2));
}
BENCHMARK(gemm_stored)
    ->ArgNames({"M", "N", "K"})
    ->Args({4352, 1152, 1152})
    ->Args({4352, 4608, 1152})
    ->Args({4352, 1152, 4608})
    ->UseRealTime();

/// With a left operand that a norm or a product before has made for products: bf16, where they read it.
void gemm_operand(benchmark::State& state) {
    const Bf16Products products;
    const Handle x = Cpu::layer_norm(random({state.range(0), state.range(2)}, 1), {}, {}, {.pack_result = true});
    const Handle w = random({state.range(1), state.range(2)}, 2);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::gemm(x, Cpu::permute(w, {1, 0}), {}, {.packed_input = true}));
    }
    state.SetItemsProcessed(state.iterations() * 2 * state.range(0) * state.range(1) * state.range(2));
}
BENCHMARK(gemm_operand)->ArgNames({"M", "N", "K"})->Args({4352, 4608, 1152})->Args({4352, 1152, 4608})->UseRealTime();

/// With weights that are kept quantized.
void gemm_int8(benchmark::State& state) {
    const Int8Products products;
    const Handle x = random({state.range(0), state.range(2)}, 1);
    const Handle w = random({state.range(1), state.range(2)}, 2);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::gemm(x, Cpu::permute(w, {1, 0}), {}, {}));
    }
    state.SetItemsProcessed(state.iterations() * 2 * state.range(0) * state.range(1) * state.range(2));
}
BENCHMARK(gemm_int8)
    ->ArgNames({"M", "N", "K"})
    ->Args({4352, 1152, 1152})
    ->Args({4352, 1152, 4608})
    ->Args({64, 1152, 1152})
    ->Args({1, 1152, 1152})
    ->UseRealTime();

void attention(benchmark::State& state) {
    const Index heads = state.range(0);
    const Index tokens = state.range(1);
    const Index depth = state.range(2);
    const Bf16Products products(state.range(3) == 1);
    const Handle qkv = random({1, tokens, 3, heads, depth}, 3);
    std::vector<Handle> part;
    for (Index i = 0; i < 3; ++i) {
        part.push_back(
            Cpu::permute(Cpu::reshape(Cpu::slice(qkv, 2, i, i + 1), {1, tokens, heads, depth}), {0, 2, 1, 3}));
    }
    for (auto _ : state) {
        benchmark::DoNotOptimize(
            Cpu::attention(part[0], part[1], part[2], 8.0 / static_cast<double>(depth), MaskKind::full));
    }
    state.SetItemsProcessed(state.iterations() * 4 * heads * tokens * tokens * depth);
}
BENCHMARK(attention)->ArgNames({"heads", "tokens", "size", "bf16"})->Apply([](auto* b) {
    for (const Index bf16 : {0, 1}) {
        b->Args({12, 4352, 96, bf16});
        b->Args({12, 4352, 64, bf16});
        b->Args({12, 320, 64, bf16});
    }
}) -> UseRealTime() -> Unit(benchmark::kMillisecond);

/// A row of Qwen2-1.5B: 12 heads of 128 share 2 of keys; `hidden` of 444 keys are padding between prefix and prompt.
void attention_of_prompt(benchmark::State& state) {
    const Bf16Products products(state.range(1) == 1);
    constexpr Index tokens = 444;
    const Handle q = random({1, 12, tokens, 128}, 1);
    const Handle k = random({1, 2, tokens, 128}, 2);
    const Handle v = random({1, 2, tokens, 128}, 3);
    std::vector<Index> flags(tokens, 1);
    std::fill_n(flags.begin() + 144, state.range(0), 0);
    const Handle mask = Cpu::from_host(flags.data(), {1, tokens}, DType::i64);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::attention(q, k, v, 1.0 / std::sqrt(128.0), MaskKind::causal, mask));
    }
}
BENCHMARK(attention_of_prompt)
    ->ArgNames({"hidden", "bf16"})
    ->ArgsProduct({{0, 280}, {0, 1}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void attention_backward(benchmark::State& state) {
    const Bf16Products products(state.range(1) == 1);
    const Extents extents{1, 12, state.range(0), 96};
    const Handle q = random(extents, 1);
    const Handle k = random(extents, 2);
    const Handle v = random(extents, 3);
    const Handle g = random(extents, 4);
    const auto y = Cpu::attention(q, k, v, 8.0 / 96.0, MaskKind::full);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::attention_backward(q, k, v, y, g, 8.0 / 96.0, MaskKind::full));
    }
    state.SetItemsProcessed(state.iterations() * 10 * 12 * state.range(0) * state.range(0) * 96);
}
BENCHMARK(attention_backward)
    ->ArgNames({"tokens", "bf16"})
    ->ArgsProduct({{1024, 4352}, {0, 1}})
    ->UseRealTime()
    ->Unit(benchmark::kMillisecond);

void layer_norm_modulated(benchmark::State& state) {
    const Handle x = random({1, 4352, 1152}, 1);
    const Handle scale = random({1, 1152}, 2);
    const Handle shift = random({1, 1152}, 3);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::layer_norm(x, scale, shift, {.plus_one = true}));
    }
    set_bytes(state, 2 * x.count());
}
BENCHMARK(layer_norm_modulated)->UseRealTime();

void rms_norm_heads(benchmark::State& state) {
    const Handle x = random({1, 12, 4352, 96}, 1);
    const Handle scale = random({96}, 2);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::rms_norm(x, scale, {}));
    }
    set_bytes(state, 2 * x.count());
}
BENCHMARK(rms_norm_heads)->UseRealTime();

void rope(benchmark::State& state) {
    const Handle x = random({1, 12, 4352, 96}, 1);
    const Handle angles = random({4352, 48}, 2);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::rope(x, angles, angles, Rotation::forward));
    }
    set_bytes(state, 2 * x.count());
}
BENCHMARK(rope)->UseRealTime();

template <UnaryOp Op>
void unary(benchmark::State& state) {
    const Handle x = random({4352, 4608}, 1);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::unary({Op}, x));
    }
    set_bytes(state, 2 * x.count());
}
BENCHMARK(unary<UnaryOp::gelu_tanh>)->UseRealTime();
BENCHMARK(unary<UnaryOp::silu>)->UseRealTime();
BENCHMARK(unary<UnaryOp::square>)->UseRealTime();

/// A residual and a gate added by a product.
void gemm_add(benchmark::State& state) {
    const Bf16Products products(state.range(0) == 1);
    const Handle x = random({1, 4352, 1152}, 1);
    const Handle w = random({1152, 1152}, 2);
    const Handle residual = random({1, 4352, 1152}, 3);
    const Handle gate = random({1, 1152}, 4);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::gemm_add(residual, gate, x, Cpu::permute(w, {1, 0}), {}, {}));
    }
    state.SetItemsProcessed(state.iterations() * 2 * 4352 * 1152 * 1152);
}
BENCHMARK(gemm_add)->ArgName("bf16")->Arg(0)->Arg(1)->UseRealTime();

void modulated_layer_norm(benchmark::State& state) {
    const Handle x = random({4096, 1280}, 1);
    const Handle gain = random({1280}, 2);
    const Handle modulation = random({4096, 2 * 1280}, 3);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::modulated_layer_norm(x, gain, gain, Cpu::slice(modulation, 1, 0, 1280),
                                                           Cpu::slice(modulation, 1, 1280, 2 * 1280), {}));
    }
    set_bytes(state, 4 * x.count());
}
BENCHMARK(modulated_layer_norm)->UseRealTime();

void multiply_add(benchmark::State& state) {
    const Handle x = random({1, 4352, 1152}, 1);
    const Handle y = random({1, 4352, 1152}, 2);
    const Handle gate = random({1, 1, 1152}, 3);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::multiply_add(y, gate, x, FactorKind::plain));
    }
    set_bytes(state, 3 * x.count());
}
BENCHMARK(multiply_add)->UseRealTime();

void add(benchmark::State& state) {
    const Handle x = random({1, 4352, 1152}, 1);
    const Handle y = random({1, 4352, 1152}, 2);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::binary(BinaryOp::add, x, y));
    }
    set_bytes(state, 3 * x.count());
}
BENCHMARK(add)->UseRealTime();

/// Both streams' keys side by side, as views of packed heads.
void concat(benchmark::State& state) {
    const auto heads = [](Index tokens) {
        const Handle qkv = random({1, tokens, 3, 12, 96}, 1);
        return Cpu::permute(Cpu::reshape(Cpu::slice(qkv, 2, 1, 2), {1, tokens, 12, 96}), {0, 2, 1, 3});
    };
    const std::vector<Handle> parts{heads(256), heads(4096)};
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::concat(parts, 2));
    }
    set_bytes(state, 2 * 12 * 4352 * 96);
}
BENCHMARK(concat)->UseRealTime();

void gather_rows(benchmark::State& state) {
    const Handle table = random({4096, 768}, 1);
    std::vector<Index> numbers(4096);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        numbers[i] = static_cast<Index>(i * 1237 % 4096);
    }
    const Handle rows = Cpu::from_host(numbers.data(), {4096}, DType::i64);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::gather_rows(table, rows));
    }
    set_bytes(state, 2 * table.count());
}
BENCHMARK(gather_rows)->UseRealTime();

void round_to_bf16(benchmark::State& state) {
    const Handle x = random({4352, 1152}, 1);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::cast(x, DType::bf16));
    }
    set_bytes(state, x.count() + x.count() / 2);
}
BENCHMARK(round_to_bf16)->UseRealTime();

/// A 3×3 convolution of the autoencoder, [channels, size, size] each.
void conv2d(benchmark::State& state) {
    const Index channels = state.range(0);
    const Index size = state.range(1);
    const Bf16Products products(state.range(2) == 1);
    const Handle x = random({1, channels, size, size}, 1);
    const Handle w = random({channels, channels, 3, 3}, 2);
    const Handle bias = random({channels}, 3);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::conv2d(x, w, bias, ConvOptions::same(3)));
    }
    state.SetItemsProcessed(state.iterations() * 2 * 9 * channels * channels * size * size);
}
BENCHMARK(conv2d)
    ->ArgNames({"channels", "size", "bf16"})
    ->Args({128, 256, 0})
    ->Args({512, 32, 0})
    ->Args({128, 256, 1})
    ->Args({512, 32, 1})
    ->UseRealTime();

void group_norm(benchmark::State& state) {
    const Handle x = random({1, 128, 256, 256}, 1);
    const Handle weight = random({128}, 2);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::group_norm(x, weight, weight, 32, 1e-6));
    }
    set_bytes(state, 2 * x.count());
}
BENCHMARK(group_norm)->UseRealTime();

void upsample_nearest2(benchmark::State& state) {
    const Handle x = random({1, 256, 128, 128}, 1);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::upsample_nearest2(x));
    }
    set_bytes(state, 5 * x.count());
}
BENCHMARK(upsample_nearest2)->UseRealTime();

void reduce_rows(benchmark::State& state) {
    const Handle x = random({4352, 1152}, 1);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::reduce(ReduceOp::sum, x, Axes::only(0), ReducedAxes::drop));
    }
    set_bytes(state, x.count());
}
BENCHMARK(reduce_rows)->UseRealTime();

void softmax(benchmark::State& state) {
    const Handle x = random({1024, 4352}, 1);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::softmax(x));
    }
    set_bytes(state, 2 * x.count());
}
BENCHMARK(softmax)->UseRealTime();

void uniform_numbers(benchmark::State& state) {
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::uniform({3, 256, 256}, DType::f32, 1, 0));
    }
    state.SetItemsProcessed(state.iterations() * 3 * 256 * 256);
}
BENCHMARK(uniform_numbers)->UseRealTime();

void normal_numbers(benchmark::State& state) {
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::normal({3, 256, 256}, DType::f32, 1, 0));
    }
    state.SetItemsProcessed(state.iterations() * 3 * 256 * 256);
}
BENCHMARK(normal_numbers)->UseRealTime();

void adam(benchmark::State& state) {
    const Extents extents{4608, 1152};
    const Handle p = random(extents, 1);
    const Handle g = random(extents, 2);
    const Handle m = Cpu::full(extents, DType::f32, 0.0);
    const Handle v = Cpu::full(extents, DType::f32, 0.0);
    AdamOptions options;
    for (auto _ : state) {
        Cpu::adam_step(p, g, m, v, options);
        ++options.step;
    }
    set_bytes(state, 7 * p.count());
}
BENCHMARK(adam)->UseRealTime();

/// VGG's first pooling; with an argument of 1 Inception's means, which overlap.
void pool(benchmark::State& state) {
    const bool overlapping = state.range(0) == 1;
    const Handle x = overlapping ? random({1, 288, 35, 35}, 1) : random({1, 64, 224, 224}, 1);
    const PoolOptions options =
        overlapping ? PoolOptions::square(PoolKind::mean_inside, 3, 1, 1) : PoolOptions::square(PoolKind::max, 2, 2);
    for (auto _ : state) {
        benchmark::DoNotOptimize(Cpu::pool2d(x, options));
    }
    set_bytes(state, overlapping ? 2 * x.count() : x.count() / 4 * 5);
}
BENCHMARK(pool)->Arg(0)->Arg(1)->UseRealTime();

}  // namespace
