// How many kernels the models' blocks take: at batch 1 their start is what a pass waits for. Needs the emulated device,
// which counts (cuda_emulation). What it prints is benchmarks/cuda/launches.txt, from which benchmarks/cuda/budget.py
// computes times.
#include <cstdio>
#include <cuda_runtime.h>
#include <map>
#include <string>

#include "flowfar/autodiff/autodiff.hpp"
#include "flowfar/autodiff/backward.hpp"
#include "flowfar/autoregressive/head/denoising_mlp.hpp"
#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/backend/precision.hpp"
#include "flowfar/flowmo/double_block.hpp"
#include "flowfar/nn/vit_block.hpp"

#include "twin.hpp"

using namespace flowfar;
using namespace flowfar::testing;

namespace {

/// Kernels that `work` starts, by the types of their arguments.
template <class Work>
std::map<std::string, int> launches_of(Work&& work) {
    std::map<std::string, int> found;
    cuda_emulation::device().on_launch = [&](const std::string& kernel) { ++found[kernel]; };
    work();
    cuda_emulation::device().on_launch = {};
    return found;
}

int total(const char* what, const std::map<std::string, int>& launches) {
    int sum = 0;
    for (const auto& [name, count] : launches) {
        std::printf("launches of %s: %d %s\n", what, count, name.c_str());
        sum += count;
    }
    return sum;
}

/// A block with modulations as a sampler has them: one row of many, for the whole batch.
template <class T>
std::map<std::string, int> block_launches(Index batch) {
    constexpr Index hidden = 32;
    constexpr Index tokens = 80;
    using Block = DoubleBlock<Cuda, hidden, 2, T>;
    Block block;
    block.initialize(1);
    using Sequence = typename Block::Sequence;
    const auto image = Sequence::normal({batch, tokens, hidden}, 1);
    const auto code = Sequence::normal({batch, 3, hidden}, 2);
    const auto all = Tensor<Cuda, Shape<dyn, 24 * hidden>, T>::normal({1, 24 * hidden}, 3);
    const auto chunks = [&](Index begin) {
        const auto row = expand<dyn, 6 * hidden>(
            slice<1>(Tensor<Cuda, Shape<dyn, dyn>, T>(all.handle()), begin, begin + 6 * hidden), batch);
        return Modulation<Cuda, hidden, 6, T>::chunks(row);
    };
    const typename Block::Table table{Tensor<Cuda, Shape<dyn, hidden / 4>, T>::normal({tokens + 3, hidden / 4}, 4),
                                      Tensor<Cuda, Shape<dyn, hidden / 4>, T>::normal({tokens + 3, hidden / 4}, 5)};
    const auto run = [&] {
        static_cast<void>(block.modulated(image, code, chunks(0), chunks(12 * hidden), table, {}));
    };
    run();
    return launches_of(run);
}

/// A block's forward and backward pass, f32 with products in bf16.
std::map<std::string, int> training_launches() {
    constexpr Index hidden = 32;
    using B = Autodiff<Cuda>;
    using Block = DoubleBlock<B, hidden, 2, float>;
    Block block;
    block.initialize(1);
    const auto image = Block::Sequence::normal({2, 20, hidden}, 1);
    const auto code = Block::Sequence::normal({2, 3, hidden}, 2);
    const auto vec = Block::Vector::normal({2, hidden}, 3);
    using Angles = Tensor<B, Shape<dyn, hidden / 4>, float>;
    const typename Block::Table table{Angles::normal({23, hidden / 4}, 4), Angles::normal({23, hidden / 4}, 5)};
    const Bf16Products products;
    const auto run = [&] {
        const auto [x, c] = block(image, code, vec, table, {});
        backward(mean(square(x)) + mean(square(c)));
    };
    run();
    return launches_of(run);
}

std::map<std::string, int> vit_launches() {
    VitBlock<Cuda, 32, 2, bf16> block;
    block.initialize(1);
    const auto x = decltype(block)::Sequence::normal({2, 20, 32}, 1);
    const auto run = [&] { static_cast<void>(block(x)); };
    run();
    return launches_of(run);
}

std::map<std::string, int> denoising_launches(Index depth) {
    DenoisingMlp<Cuda, 16, 32, 32, bf16> net(depth);
    net.initialize(1);
    const auto x = decltype(net)::Hidden::normal({20, 32}, 1);
    const auto run = [&] { static_cast<void>(net.projected(x, x)); };
    run();
    return launches_of(run);
}

}  // namespace

TEST_CASE("cuda: launches of a block of FlowMo's decoder") {
    CHECK(total("decoder block, batch 1", block_launches<bf16>(1)) <= 19);  // 29 before heads were joined
    CHECK(total("decoder block, batch 3", block_launches<bf16>(3)) <= 20);  // 39 before
}

TEST_CASE("cuda: launches of other parts") {
    CHECK(total("decoder block, training", training_launches()) <= 241);
    CHECK(total("vit block", vit_launches()) <= 10);
    const int two = total("denoising network of 2 blocks", denoising_launches(2));
    CHECK(total("denoising network of 3 blocks", denoising_launches(3)) - two <= 7);
}
