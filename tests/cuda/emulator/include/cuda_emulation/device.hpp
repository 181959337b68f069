#pragma once

/// The emulated device: its memory, the work that streams and graphs hold, and what happened so far.

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <vector>

#include "block.hpp"

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorInvalidResourceHandle = 400,
    cudaErrorNotReady = 600,
    cudaErrorIllegalAddress = 700,
    cudaErrorLaunchFailure = 719,
    cudaErrorNotSupported = 801,
    cudaErrorStreamCaptureUnsupported = 900,
    cudaErrorStreamCaptureInvalidated = 901,
    cudaErrorCapturedEvent = 907,
    cudaErrorGraphExecUpdateFailure = 910
};

struct CUgraph_st {
    std::vector<std::function<void()>> work;
    bool invalid = false;  ///< something was asked for that cannot be recorded
};
struct CUgraphExec_st {
    std::vector<std::function<void()>> work;
};
struct CUstream_st {
    CUgraph_st* capture = nullptr;
    int device = 0;
};
struct CUevent_st {
    bool recorded = false;
    bool captured = false;   ///< recorded last by a stream that was captured
    bool abandoned = false;  ///< destroyed by its owner
    int device = 0;
    int asked = 0;  ///< records so far
    int done = 0;   ///< those that their streams have come to

    [[nodiscard]] bool ahead() const { return done < asked; }
};
struct CUmemPoolHandle_st {
    std::size_t limit = 0;  ///< 0: none
    std::size_t used = 0;
    std::size_t used_high = 0;
    std::size_t pieces = 0;    ///< what is used, in whole pieces of memory
    std::size_t reserved = 0;  ///< what was not given back to the device
    std::uint64_t threshold = 0;
};

namespace cuda_emulation {

/// What the library asked for so far.
struct Counters {
    std::size_t launches = 0;
    std::size_t copies = 0;
    std::size_t synchronizations = 0;
    std::size_t graph_launches = 0;
};

class Device {
   public:
    static Device& instance() {
        static Device* device = new Device;  // never destroyed: static tensors may be freed after main
        return *device;
    }

    // What a test may set.
    int count = 1;                              ///< 0: no device
    std::size_t memory = std::size_t{4} << 30;  ///< bytes
    std::size_t shared_limit = 99 * 1024;       ///< bytes per block, opted in: the least of sm_80, sm_90, sm_120
    int capability_major = 8;
    int capability_minor = 0;
    int multiprocessors = 4;
    bool lazy = false;  ///< streams do their work only when someone waits for them
    bool newest_stream_first =
        false;                      ///< of several streams with work, the one that got work last does all of its first
    std::size_t granularity = 1;    ///< bytes of the pieces in which pools take memory
    bool wrong_warpgroups = false;  ///< warpgroup products give wrong numbers

    /// Hears of each kernel, by the types of its arguments, and of each matrix product, by its sizes.
    std::function<void(const std::string&)> on_launch;

    Counters counters;
    std::recursive_mutex mutex;
    std::set<const void*> owned_by_graphs;        ///< addresses that were taken while a stream was captured
    std::map<const void*, std::size_t> opted_in;  ///< kernels and the dynamic shared memory they may have

    /// The calling thread's current device.
    [[nodiscard]] static int& current() {
        static thread_local int number = 0;
        return number;
    }

    /// Does a stream's next work, or keeps it for a graph or for later. A lazy stream does not begin it before `ready`.
    void submit(CUstream_st* stream, std::function<void()> work, std::function<bool()> ready = {}) {
        const std::lock_guard lock(mutex);
        if (stream != nullptr && stream->capture != nullptr) {
            stream->capture->work.push_back(std::move(work));
        } else if (lazy) {
            queue_.push_back({stream, std::move(work), std::move(ready)});
        } else {
            work();
        }
    }
    /// Does what all streams hold, in one of the orders that streams allow.
    void finish() {
        finish_until([] { return false; });
    }
    /// Works through the streams until `done()`.
    template <class Done>
    void finish_until(Done done) {
        const std::lock_guard lock(mutex);
        while (!queue_.empty() && !done()) {
            const auto next = next_step();
            const std::function<void()> step = std::move(next->work);
            queue_.erase(next);
            step();
        }
    }

    /// Work that streams hold.
    [[nodiscard]] std::size_t queued() const { return queue_.size(); }

    void lock_pages(const void* address, std::size_t bytes) {
        const std::lock_guard lock(mutex);
        page_locked_[address] = bytes;
    }
    void unlock_pages(const void* address) {
        const std::lock_guard lock(mutex);
        page_locked_.erase(address);
    }
    [[nodiscard]] bool is_page_locked(const void* address) {
        const std::lock_guard lock(mutex);
        const auto above = page_locked_.upper_bound(address);
        if (above == page_locked_.begin()) {
            return false;
        }
        const auto& [begin, bytes] = *std::prev(above);
        return std::less<>{}(address, static_cast<const std::byte*>(begin) + bytes);
    }

    [[nodiscard]] void* allocate(std::size_t bytes, CUmemPoolHandle_st* pool) {
        const std::lock_guard lock(mutex);
        if (used_ + bytes > memory || (pool != nullptr && pool->limit != 0 && pool->used + bytes > pool->limit)) {
            return nullptr;
        }
        // No rounding, so that the address sanitizer sees the end; the alignment is the device's.
        void* const block = ::operator new(bytes, std::align_val_t{256});
        std::memset(block, 0xFF, bytes);
        blocks_[block] = {bytes, pool};
        used_ += bytes;
        if (pool != nullptr) {
            pool->used += bytes;
            pool->used_high = std::max(pool->used_high, pool->used);
            pool->pieces += in_pieces(bytes);
            pool->reserved = std::max(pool->reserved, pool->pieces);
        }
        return block;
    }
    [[nodiscard]] bool release(void* block) {
        const std::lock_guard lock(mutex);
        const auto found = blocks_.find(block);
        if (found == blocks_.end()) {
            return false;
        }
        used_ -= found->second.bytes;
        if (found->second.pool != nullptr) {
            found->second.pool->used -= found->second.bytes;
            found->second.pool->pieces -= in_pieces(found->second.bytes);
        }
        std::memset(block, 0xFF, found->second.bytes);
        blocks_.erase(found);
        ::operator delete(block, std::align_val_t{256});
        return true;
    }
    [[nodiscard]] std::size_t used() const { return used_; }
    /// Allocations that nobody freed yet.
    [[nodiscard]] std::size_t blocks() const { return blocks_.size(); }

    [[nodiscard]] cudaError_t set(cudaError_t error) {
        if (error != cudaSuccess) {
            last_ = error;
        }
        return error;
    }
    [[nodiscard]] cudaError_t last() const { return last_; }
    [[nodiscard]] cudaError_t take_last() { return std::exchange(last_, cudaSuccess); }

    /// Runs all blocks of a grid.
    template <class Body>
    void run(dim3 grid, dim3 block, std::size_t shared_bytes, Body& body) {
        const std::lock_guard lock(mutex);
        if (Block::current().running()) {
            throw Fault("cuda emulation: a kernel launches a kernel");
        }
        gridDim = grid;
        blockDim = block;
        for (unsigned z = 0; z < grid.z; ++z) {
            for (unsigned y = 0; y < grid.y; ++y) {
                for (unsigned x = 0; x < grid.x; ++x) {
                    blockIdx = {x, y, z};
                    Block::current().run(block, shared_bytes, body);
                }
            }
        }
    }

   private:
    struct Allocation {
        std::size_t bytes;
        CUmemPoolHandle_st* pool;
    };
    struct Step {
        CUstream_st* stream;
        std::function<void()> work;
        std::function<bool()> ready;  ///< empty: at any time
    };

    [[nodiscard]] std::size_t in_pieces(std::size_t bytes) const {
        return (bytes + granularity - 1) / granularity * granularity;
    }
    /// The oldest step is always ready: whatever it waits for was asked for before.
    [[nodiscard]] std::deque<Step>::iterator next_step() {
        auto chosen = queue_.begin();
        if (!newest_stream_first) {
            return chosen;
        }
        std::vector<CUstream_st*> seen;
        for (auto step = queue_.begin(); step != queue_.end(); ++step) {
            if (std::find(seen.begin(), seen.end(), step->stream) == seen.end()) {
                seen.push_back(step->stream);
                chosen = step->ready && !step->ready() ? chosen : step;
            }
        }
        return chosen;
    }

    std::map<const void*, Allocation> blocks_;
    std::size_t used_ = 0;
    std::map<const void*, std::size_t> page_locked_;
    std::deque<Step> queue_;
    cudaError_t last_ = cudaSuccess;
};

}  // namespace cuda_emulation
