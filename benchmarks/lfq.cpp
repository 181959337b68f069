// LFQ's training loss with gradient: the factorised form of quantize/lfq.hpp against the direct softmax over all 2^d
// sign patterns, both on this library's CPU backend. 512 codewords: one FlowMo-Lo image.
#include "flowfar/quantize/lfq.hpp"

#include <benchmark/benchmark.h>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"

namespace {

using namespace flowfar;
using A = Autodiff<Cpu>;

template <Index Bits>
using Code = Tensor<A, Shape<dyn, dyn, Bits>>;

template <Index Bits>
Code<Bits> random_code() {
    return leaf(Code<Bits>::normal({1, 512, Bits}, 1));
}

template <Index Bits>
void factorised(benchmark::State& state) {
    const auto code = random_code<Bits>();
    for (auto _ : state) {
        backward(Lfq<Bits>::loss(code).total);
    }
}

/// The definition: logits 2 x·c / τ over the whole codebook, softmax, entropies of it and of its mean.
template <Index Bits>
void direct(benchmark::State& state) {
    constexpr Index patterns = Index{1} << Bits;
    const auto code = random_code<Bits>();
    std::vector<float> table(static_cast<std::size_t>(patterns * Bits));
    for (Index c = 0; c < patterns; ++c) {
        for (Index b = 0; b < Bits; ++b) {
            table[static_cast<std::size_t>(b * patterns + c)] = ((c >> b) & 1) != 0 ? 1.0F : -1.0F;
        }
    }
    const auto book = Tensor<A, Shape<Bits, patterns>>::from_host(table, {Bits, patterns});
    for (auto _ : state) {
        const auto logits = matmul(codewords<Bits>(code), book, 2.0 / 0.1);
        const auto log_p = log_softmax(logits);
        const auto p = exp(log_p);
        const auto sample = -sum(p * log_p) / 512.0;
        const auto average = mean<0>(p);
        const auto book_entropy = -sum(average * log(average + 1e-5));
        backward((sample - book_entropy) * 0.0025);
    }
}

BENCHMARK(direct<9>)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(factorised<9>)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(direct<14>)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(factorised<14>)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(factorised<18>)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
