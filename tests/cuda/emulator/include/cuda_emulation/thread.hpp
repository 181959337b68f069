#pragma once

/// What the emulator knows about the threads of a block and the places where they meet.

#include <array>
#include <memory>
#include <stdexcept>
#include <vector>

#include "fiber.hpp"
#include "types.hpp"

namespace cuda_emulation {

/// A kernel did what a device does not allow or does not define.
class Fault : public std::runtime_error {
   public:
    using std::runtime_error::runtime_error;
};

/// A copy that cp.async began.
struct PendingCopy {
    void* target;
    const void* source;
    std::size_t bytes;
    std::size_t zeros;
};

/// A product that wgmma began: what all threads of the warpgroup brought.
struct GroupProduct;
/// One thread's share of it.
struct PendingProduct {
    std::shared_ptr<GroupProduct> product;
    float* d;
    std::vector<float> before;  ///< the accumulators, unless an earlier product is under way in them
};

struct Thread {
    enum class State { ready, barrier, counter, warp, gone };

    Stack stack;
    Context context;
    State state = State::ready;
    uint3 index{};
    std::vector<std::vector<PendingCopy>> groups;       ///< the last is not committed yet
    std::vector<std::vector<PendingProduct>> products;  ///< likewise
};

/// What the lanes of a warp do together: each brings operands, the last one to arrive computes all results.
using Collective = void (*)(std::array<void*, 32>& operands, unsigned mask);

struct Warp {
    Collective operation = nullptr;
    const char* name = "";
    unsigned mask = 0;
    unsigned arrived = 0;
    unsigned present = 0;  ///< lanes that exist and have not left
    std::array<void*, 32> operands{};
    std::vector<std::size_t> ready;  ///< threads that wait for nothing but their turn
};

/// A barrier in shared memory that counts arrivals (mbarrier).
struct Counter {
    int count;
    int missing;
    unsigned phase = 0;  ///< how many have ended
    std::vector<std::size_t> waiting;
};

/// Where the threads of a warpgroup meet.
struct Warpgroup {
    std::size_t arrived = 0;
    std::vector<void*> operands;
};

}  // namespace cuda_emulation
