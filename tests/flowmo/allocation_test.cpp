// After the first, a step of sampling or training takes nothing from the heap.
#include <array>
#include <doctest/doctest.h>
#include <utility>
#include <vector>

#include "flowfar/cpu.hpp"
#include "flowfar/flowmo.hpp"

#include "allocations.hpp"

using namespace flowfar;
using flowfar::testing::counts_allocations;
using flowfar::testing::heap_allocations;

using Model = FlowMo<FlowMoNano, Cpu>;

namespace {

Model::Images images() {
    return Model::Images::normal({2, 3, FlowMoNano::image_height, FlowMoNano::image_width}, 1);
}

}  // namespace

TEST_CASE("sampling steps do not allocate") {
    if (!counts_allocations()) {
        return;
    }
    Model model;
    model.initialize(1);
    const Tokens tokens = model.encode(images());
    for (const auto& [rounds, quantizes] : {std::pair{false, false}, {true, false}, {true, true}}) {
        const Bf16Products rounded(rounds);
        const Int8Products quantized(quantizes);
        // The second run uses the modulations' weights for the second time, so it packs them, and then its first steps
        // find some blocks taken.
        constexpr std::array<std::size_t, 3> settled{6, 4, 1};
        for (std::size_t run = 0; run < 3; ++run) {
            std::vector<long> counts;
            counts.reserve(100);
            const Model::Callback note = [&](const Model::Step&) {
                counts.push_back(heap_allocations);
                return true;
            };
            static_cast<void>(model.decode(tokens, {.steps = 8}, note));
            REQUIRE(counts.size() == 8);
            for (std::size_t i = settled[run]; i < counts.size(); ++i) {
                CAPTURE(run);
                CAPTURE(i);
                CHECK(counts[i] == counts[i - 1]);
            }
        }
    }
}

TEST_CASE("training steps do not allocate") {
    if (!counts_allocations()) {
        return;
    }
    const Model::Images batch = images();
    for (const auto& [checkpointed, rounds] : {std::pair{false, false}, {true, false}, {false, true}, {true, true}}) {
        const Bf16Products products(rounds);
        FlowMoTrainOptions options;
        options.checkpoint_blocks = checkpointed;
        options.clip = 1.0;
        FlowMoTrainer<FlowMoNano, Cpu, MultiScaleGradientLoss<>> trainer(options,
                                                                         [](auto& model) { model.initialize(1); });
        long before = 0;
        for (int step = 0; step < 8; ++step) {
            before = heap_allocations;
            static_cast<void>(trainer.step(batch));
            CAPTURE(step);
            CAPTURE(rounds);
            if (step >= 4) {
                CHECK(heap_allocations == before);
            }
        }
    }
}
