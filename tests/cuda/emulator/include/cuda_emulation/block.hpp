#pragma once

/// Runs the threads of a block: they take turns and wait for each other at barriers and at the operations of a warp.
/// The order within a warp changes from turn to turn, and warps get far ahead of one another, so that missing barriers
/// show. What a device would not forgive is reported as a `Fault`.

#include <array>
#include <exception>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <vector>

#include "thread.hpp"

namespace cuda_emulation {

/// The block that runs now.
class Block {
   public:
    static Block& current() {
        static Block block;
        return block;
    }

    /// Calls `body()` once per thread with threadIdx set.
    template <class Body>
    void run(dim3 size, std::size_t shared_bytes, Body& body) {
        threads_count_ = std::size_t{size.x} * size.y * size.z;
        body_ = const_cast<void*>(static_cast<const void*>(&body));
        call_ = [](void* b) { (*static_cast<Body*>(b))(); };
        begin(size, shared_bytes);
        while (alive_ > 0) {
            if (!choose_warp()) {
                alive_ = 0;
                throw Fault("cuda emulation: deadlock: " + waiting() + " (block " + triple(blockIdx) + ")");
            }
            turn(warps_[warp_]);
        }
    }

    void barrier(const char* file, int line) {
        Thread& me = here();
        if (alive_ != threads_count_) {
            fail("barrier after threads of the block have returned" + at(file, line));
        }
        if (at_barrier_ == 0) {
            barrier_file_ = file;
            barrier_line_ = line;
        } else if (barrier_line_ != line || std::strcmp(barrier_file_, file) != 0) {
            fail("threads wait at different barriers:" + at(barrier_file_, barrier_line_) + " and" + at(file, line));
        }
        me.state = Thread::State::barrier;
        if (++at_barrier_ == threads_count_) {
            at_barrier_ = 0;
            for (std::size_t i = 0; i < threads_count_; ++i) {
                wake(i);
            }
        }
        pause();
    }

    /// Meets the other lanes of `mask` in `operation`.
    void meet(const char* name, Collective operation, unsigned mask, void* operands) {
        const std::size_t lane = now_ % 32;
        Warp& warp = warps_[now_ / 32];
        const unsigned bit = 1U << lane;
        if ((mask & bit) == 0) {
            fail(std::string(name) + ": the calling lane is not in the mask");
        }
        if ((mask & ~warp.present) != 0) {
            fail(std::string(name) +
                 ": lanes of the mask do not exist or have returned: " + std::to_string(mask & ~warp.present));
        }
        if (warp.arrived == 0) {
            warp.operation = operation;
            warp.name = name;
            warp.mask = mask;
        } else if (warp.operation != operation || warp.mask != mask || std::strcmp(warp.name, name) != 0) {
            fail(std::string("lanes of a warp meet in different operations or masks: ") + warp.name + " and " + name);
        }
        warp.operands[lane] = operands;
        warp.arrived |= bit;
        if (warp.arrived != mask) {
            here().state = Thread::State::warp;
            pause();
            return;
        }
        operation(warp.operands, mask);
        warp.arrived = 0;
        for (std::size_t other = 0; other < 32; ++other) {
            if (other != lane && (mask >> other & 1U) != 0) {
                wake(now_ / 32 * 32 + other);
            }
        }
    }

    void counter_init(void* address, int count) {
        check_aligned(address, 8, "mbarrier");
        counters_[address] = {count, count, 0, {}};
    }
    void counter_arrive(void* address) {
        Counter& counter = counter_at(address);
        if (--counter.missing == 0) {
            counter.missing = counter.count;
            ++counter.phase;
            for (const std::size_t thread : std::exchange(counter.waiting, {})) {
                wake(thread);
            }
        }
    }
    /// Returns when a phase with this parity is the last that ended.
    void counter_wait(void* address, int parity) {
        Counter& counter = counter_at(address);
        while (counter.phase % 2 == static_cast<unsigned>(parity)) {
            here().state = Thread::State::counter;
            counter.waiting.push_back(now_);
            pause();
        }
    }

    /// Meets the other 127 threads of the warpgroup; the last one calls `operation(operands)`.
    template <class Operation>
    void meet_warpgroup(void* operands, Operation&& operation) {
        const std::size_t group = now_ / 128;
        if (group >= warpgroups_.size()) {
            fail("the warpgroup is not complete");
        }
        Warpgroup& all = warpgroups_[group];
        all.operands[now_ % 128] = operands;
        if (++all.arrived < 128) {
            here().state = Thread::State::counter;
            pause();
            return;
        }
        all.arrived = 0;
        operation(all.operands);
        for (std::size_t i = 128 * group; i < 128 * group + 128; ++i) {
            if (i != now_) {
                wake(i);
            }
        }
    }

    /// For what a device may do in one way or another.
    [[nodiscard]] std::uint64_t random() {
        random_ = random_ * 6364136223846793005U + 1442695040888963407U;
        return random_ >> 32;
    }
    [[nodiscard]] Thread& here() { return threads_[now_]; }
    [[nodiscard]] bool running() const { return alive_ > 0; }
    [[nodiscard]] unsigned char* shared() const { return memory_.get() + shared_offset; }
    /// The address in the window of shared memory, as instructions count it.
    [[nodiscard]] unsigned shared_address(const void* address) const {
        return static_cast<unsigned>(static_cast<const unsigned char*>(address) - memory_.get());
    }
    [[nodiscard]] const unsigned char* at_shared_address(unsigned address) const { return memory_.get() + address; }
    /// Reports an address outside the block's dynamic shared memory.
    void check_shared(const void* address, std::size_t bytes, const char* what) const {
        const auto* p = static_cast<const unsigned char*>(address);
        if (p < shared() || p + bytes > shared() + shared_bytes_) {
            fail(std::string(what) + ": address outside the block's dynamic shared memory");
        }
    }
    void check_aligned(const void* address, std::size_t bytes, const char* what) const {
        if (reinterpret_cast<std::uintptr_t>(address) % bytes != 0) {
            fail(std::string(what) + ": address is not a multiple of " + std::to_string(bytes));
        }
    }
    [[noreturn]] void fail(const std::string& what) const {
        std::string text = "cuda emulation: " + what;
        if (alive_ > 0) {
            text += " (block " + triple(blockIdx) + ", thread " + triple(threads_[now_].index) + ")";
        }
        throw Fault(text);
    }

   private:
    struct Free {
        void operator()(unsigned char* p) const { ::operator delete[](p, window); }
    };

    /// Dynamic shared memory begins at a multiple of 128 and of no more.
    static constexpr std::align_val_t window{1024};
    static constexpr std::size_t shared_offset = 128;

    static std::string at(const char* file, int line) { return " " + std::string(file) + ":" + std::to_string(line); }
    static std::string triple(uint3 i) {
        return "[" + std::to_string(i.x) + ", " + std::to_string(i.y) + ", " + std::to_string(i.z) + "]";
    }

    void begin(dim3 size, std::size_t shared_bytes) {
        while (threads_.size() < threads_count_) {
            threads_.emplace_back();
        }
        warps_.assign((threads_count_ + 31) / 32, Warp{});
        warp_ = 0;
        alive_ = threads_count_;
        at_barrier_ = 0;
        failure_ = nullptr;
        counters_.clear();
        warpgroups_.assign(threads_count_ / 128, Warpgroup{0, std::vector<void*>(128)});
        shared_bytes_ = shared_bytes;
        memory_.reset(static_cast<unsigned char*>(::operator new[](shared_offset + shared_bytes, window)));
        std::memset(shared(), 0xFF, shared_bytes);  // NaN in every float type
        for (std::size_t i = 0; i < threads_count_; ++i) {
            Thread& thread = threads_[i];
            const auto linear = static_cast<unsigned>(i);
            thread.index = {linear % size.x, linear / size.x % size.y, linear / size.x / size.y};
            thread.groups.clear();
            thread.groups.emplace_back();
            thread.products.clear();
            thread.products.emplace_back();
            thread.context.prepare(thread.stack, &Block::enter);
            warps_[i / 32].present |= 1U << (i % 32);
            wake(i);
        }
    }
    /// Stays with the warp that ran last as long as it can, but sometimes takes another. False if none can run.
    [[nodiscard]] bool choose_warp() {
        if (!warps_[warp_].ready.empty() && random() % 64 != 0) {
            return true;
        }
        const std::size_t first = random() % warps_.size();
        for (std::size_t i = 0; i < warps_.size(); ++i) {
            warp_ = (first + i) % warps_.size();
            if (!warps_[warp_].ready.empty()) {
                return true;
            }
        }
        return false;
    }
    /// Lets every ready thread of a warp run until it waits.
    void turn(Warp& warp) {
        turn_.swap(warp.ready);
        warp.ready.clear();
        const std::size_t count = turn_.size();
        const std::size_t first = random() % count;
        const std::size_t step = random() % 2 != 0 ? 1 : count - 1;
        for (std::size_t i = 0; i < count; ++i) {
            now_ = turn_[(first + i * step) % count];
            threadIdx = here().index;
            scheduler_.leave_for(here().context);
            if (failure_ != nullptr) {
                alive_ = 0;
                std::rethrow_exception(std::exchange(failure_, nullptr));
            }
        }
    }
    static void enter() {
        Block& block = current();
        block.here().context.arrived();
        try {
            block.call_(block.body_);
            block.returned();
        } catch (...) {
            block.failure_ = std::current_exception();
        }
        block.here().context.leave_for(block.scheduler_, true);
        std::terminate();
    }
    void returned() {
        Warp& warp = warps_[now_ / 32];
        const unsigned bit = 1U << (now_ % 32);
        for (const auto& group : here().products) {
            if (!group.empty()) {
                fail("a thread returns while products of its warpgroup are under way");
            }
        }
        for (const auto& group : here().groups) {
            if (!group.empty()) {
                fail("a thread returns while its asynchronous copies are under way");
            }
        }
        if (at_barrier_ > 0) {
            fail("a thread returns while others wait at a barrier:" + at(barrier_file_, barrier_line_));
        }
        if (warp.arrived != 0 && (warp.mask & bit) != 0) {
            fail(std::string("a thread returns while its warp waits for it: ") + warp.name);
        }
        warp.present &= ~bit;
        here().state = Thread::State::gone;
        --alive_;
    }
    void wake(std::size_t thread) {
        threads_[thread].state = Thread::State::ready;
        warps_[thread / 32].ready.push_back(thread);
    }
    Counter& counter_at(void* address) {
        const auto found = counters_.find(address);
        if (found == counters_.end()) {
            fail("mbarrier that was not initialized");
        }
        return found->second;
    }
    void pause() { here().context.leave_for(scheduler_); }

    [[nodiscard]] std::string waiting() const {
        std::size_t barrier = 0;
        std::size_t counter = 0;
        std::string text;
        for (std::size_t i = 0; i < threads_count_; ++i) {
            barrier += threads_[i].state == Thread::State::barrier ? 1 : 0;
            counter += threads_[i].state == Thread::State::counter ? 1 : 0;
        }
        for (std::size_t w = 0; w < warps_.size(); ++w) {
            if (warps_[w].arrived != 0) {
                text += ", warp " + std::to_string(w) + " waits for lanes " +
                        std::to_string(warps_[w].mask & ~warps_[w].arrived) + " in " + warps_[w].name;
            }
        }
        return std::to_string(barrier) + " of " + std::to_string(threads_count_) + " threads wait at a barrier, " +
               std::to_string(counter) + " for arrivals" + text;
    }

    std::vector<Thread> threads_;
    std::vector<Warp> warps_;
    std::vector<Warpgroup> warpgroups_;
    std::map<const void*, Counter> counters_;
    std::vector<std::size_t> turn_;
    std::size_t warp_ = 0;  ///< the one that ran last
    Context scheduler_;
    std::size_t threads_count_ = 0;
    std::size_t alive_ = 0;
    std::size_t now_ = 0;
    std::size_t at_barrier_ = 0;
    const char* barrier_file_ = "";
    int barrier_line_ = 0;
    std::unique_ptr<unsigned char[], Free> memory_;
    std::size_t shared_bytes_ = 0;
    void* body_ = nullptr;
    void (*call_)(void*) = nullptr;
    std::exception_ptr failure_;
    std::uint64_t random_ = 1;
};

[[nodiscard]] inline unsigned char* dynamic_shared() {
    return Block::current().shared();
}
/// Reports an address that a vector access of `bytes` bytes may not have.
inline void check_aligned(const void* address, std::size_t bytes) {
    Block::current().check_aligned(address, bytes, "vector access");
}

}  // namespace cuda_emulation
