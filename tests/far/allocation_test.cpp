// After the first, a step of sampling or training takes nothing from the heap, as long as it works on tensors of sizes
// that were there before.
#include <algorithm>
#include <doctest/doctest.h>
#include <vector>

#include "flowfar/backend/cpu/cpu.hpp"
#include "flowfar/far/model.hpp"
#include "flowfar/far/train.hpp"

#include "allocations.hpp"

using namespace flowfar;
using flowfar::testing::counts_allocations;
using flowfar::testing::heap_allocations;

using Model = Far<FarNano, Cpu, float>;

TEST_CASE("diffusion steps do not allocate") {
    if (!counts_allocations()) {
        return;
    }
    Model model;
    model.initialize(1);
    std::vector<long> counts;
    counts.reserve(10000);
    FarSampleOptions options;
    options.guidance = 1.5;
    options.stop = [&counts] {
        counts.push_back(heap_allocations);
        return false;
    };
    const std::vector<Index> labels{0, 1};
    const FarSampler<Model> sampler(model, options);
    static_cast<void>(sampler(labels));
    const auto first_run = counts.size();
    counts.clear();
    static_cast<void>(sampler(labels));
    REQUIRE(counts.size() == first_run);
    long changed = 0;
    for (std::size_t i = 1; i < counts.size(); ++i) {
        changed += counts[i] != counts[i - 1] ? 1 : 0;
    }
    CHECK(changed <
          static_cast<long>(default_levels<FarNano>().size()));  // between levels, images are filtered and encoded anew
}

TEST_CASE("training steps do not allocate") {
    if (!counts_allocations()) {
        return;
    }
    FarTrainer<FarNano, Cpu> trainer({}, [](auto& model) { model.initialize(1); });
    const auto latents = Model::Latents::normal({2, FarNano::channels, FarNano::side, FarNano::side}, 1);
    const std::vector<Index> labels{0, 1};
    constexpr int steps = 40;
    int without = 0;
    for (int step = 0; step < steps; ++step) {
        const long before = heap_allocations;
        static_cast<void>(trainer.step(latents, labels));
        without += heap_allocations == before ? 1 : 0;
    }
    // The others draw a number of tokens in the last diffusion step, or a frequency level, that no step had before.
    CHECK(without >= 30);
}
