#pragma once

/// Device memory from a stream-ordered pool that says how much it holds.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <string>

#include "flowfar/backend/cuda/runtime/stream.cuh"

namespace flowfar::cuda {

/// Device memory. A block is taken and given back in the order of the stream that is current when it is allocated, so
/// neither waits for the device. Thread-safe.
class Memory {
   public:
    static constexpr std::size_t no_cap = std::numeric_limits<std::size_t>::max();

    static Memory& instance() {
        static Memory* memory = new Memory;  // never destroyed, like the stream
        return *memory;
    }

    /// A block of at least `bytes` bytes (never null), aligned to 256. Throws Error if the cap or the device does not
    /// allow it, or while a graph is recorded; what was held before stays valid.
    [[nodiscard]] std::shared_ptr<std::byte> allocate(std::size_t bytes) {
        const std::size_t size = std::max<std::size_t>(bytes, 1);
        const cudaStream_t stream = current_stream();
        const Recording* const recording = Recording::current();
        // Recorded, it would be memory of the graph, which a replay takes again while somebody still holds it.
        require(recording == nullptr || stream != recording->captured, "cuda graph: the recorded run asks for ", bytes,
                " bytes that the run before it did not ask for");
        void* block = nullptr;
        {
            const std::lock_guard lock(mutex_);
            if (size > cap_ || held_ > cap_ - size) {
                out_of_memory(bytes);
            }
            cudaError_t status = cudaMallocFromPoolAsync(&block, size, pool(), stream);
            if (status == cudaErrorMemoryAllocation) {
                cudaGetLastError();
                out_of_memory(bytes);
            }
            check(status, "cudaMallocFromPoolAsync");
            if (cap_ != no_cap && reserved() > cap_ && !shrink(stream)) {
                static_cast<void>(cudaFreeAsync(block, stream));
                static_cast<void>(shrink(stream));
                out_of_memory(bytes);
            }
            held_ += size;
            peak_ = std::max(peak_, held_);
        }
        return {static_cast<std::byte*>(block), [this, size, stream](std::byte* p) { give_back(p, size, stream); }};
    }

    /// Bytes in blocks that somebody holds.
    [[nodiscard]] std::size_t held() const {
        const std::lock_guard lock(mutex_);
        return held_;
    }
    /// Bytes of the device's memory that the pool has, what lies idle included.
    [[nodiscard]] std::size_t taken() {
        const std::lock_guard lock(mutex_);
        return reserved();
    }
    /// The most bytes that were held at once since the start or the last reset_peak().
    [[nodiscard]] std::size_t peak() const {
        const std::lock_guard lock(mutex_);
        return peak_;
    }
    void reset_peak() {
        const std::lock_guard lock(mutex_);
        peak_ = held_;
    }
    /// Bytes that may be held at once. The pool takes no more of the device than that either, although it takes memory
    /// in larger pieces than it is asked for: what would need more is refused.
    [[nodiscard]] std::size_t cap() const {
        const std::lock_guard lock(mutex_);
        return cap_;
    }
    void set_cap(std::size_t bytes) {
        const std::lock_guard lock(mutex_);
        cap_ = bytes;
    }
    /// Returns unused memory of the pool to the device.
    void trim() {
        synchronize();
        const std::lock_guard lock(mutex_);
        check(cudaMemPoolTrimTo(pool(), 0), "cudaMemPoolTrimTo");
    }

   private:
    cudaMemPool_t pool() {
        if (pool_ == nullptr) {
            cudaMemPoolProps properties{};
            properties.allocType = cudaMemAllocationTypePinned;
            properties.handleTypes = cudaMemHandleTypeNone;
            properties.location.type = cudaMemLocationTypeDevice;
            properties.location.id = current_device();
            check(cudaMemPoolCreate(&pool_, &properties), "cudaMemPoolCreate");
            // By default a pool gives everything back whenever its stream is waited for.
            std::uint64_t threshold = std::numeric_limits<std::uint64_t>::max();
            check(cudaMemPoolSetAttribute(pool_, cudaMemPoolAttrReleaseThreshold, &threshold),
                  "cudaMemPoolSetAttribute");
        }
        return pool_;
    }
    /// What the pool has of the device's memory.
    [[nodiscard]] std::size_t reserved() {
        std::uint64_t bytes = 0;
        check(cudaMemPoolGetAttribute(pool(), cudaMemPoolAttrReservedMemCurrent, &bytes), "cudaMemPoolGetAttribute");
        return bytes;
    }
    /// Gives back what nobody holds; whether the pool is within the cap then. Waits for the stream.
    [[nodiscard]] bool shrink(cudaStream_t stream) {
        check(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
        check(cudaMemPoolTrimTo(pool(), 0), "cudaMemPoolTrimTo");
        return reserved() <= cap_;
    }
    [[noreturn]] void out_of_memory(std::size_t bytes) const {
        const std::string limit = cap_ == no_cap ? "no cap is set" : text("the cap is ", cap_);
        std::size_t free_bytes = 0;
        std::size_t total = 0;
        const bool known = cudaMemGetInfo(&free_bytes, &total) == cudaSuccess;
        const std::string device = known ? text("; the device has ", free_bytes, " of ", total, " free") : "";
        fail("cuda: out of memory: asked for ", bytes, " bytes, ", held_, " bytes are held, ", limit, device);
    }
    /// A graph that this thread records keeps the block: its replays may use it, and a recorded free of memory that is
    /// not the graph's is an error.
    void give_back(std::byte* block, std::size_t size, cudaStream_t stream) {
        if (Recording* const recording = Recording::current()) {
            recording->blocks.emplace_back(block, [this, size, stream](std::byte* p) { give_back(p, size, stream); });
            return;
        }
        {
            const std::lock_guard lock(mutex_);
            held_ -= size;
        }
        // After main the runtime may be gone, and the memory with it; a destructor has nobody to tell.
        int device = 0;
        if (cudaGetDevice(&device) == cudaSuccess && device != detail::home_device()) {
            static_cast<void>(cudaSetDevice(detail::home_device()));
        }
        if (cudaFreeAsync(block, stream) != cudaSuccess) {
            cudaGetLastError();
        }
    }

    mutable std::mutex mutex_;
    cudaMemPool_t pool_ = nullptr;
    std::size_t held_ = 0;
    std::size_t peak_ = 0;
    std::size_t cap_ = no_cap;
};

/// Keeps the blocks that were allocated through it, also when they are given back, and hands them out again: what is
/// captured into a graph finds the same addresses in every replay, if the same work ran once with the arena before the
/// capture. Not thread-safe, but blocks may come back from any thread.
class Arena {
   public:
    Arena() : blocks_(std::make_shared<Blocks>()) {}
    ~Arena() { blocks_->close(); }
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    [[nodiscard]] std::shared_ptr<std::byte> allocate(std::size_t bytes) {
        std::shared_ptr<std::byte> block = blocks_->take(bytes);
        if (block == nullptr) {
            block = Memory::instance().allocate(bytes);
        }
        std::byte* const address = block.get();
        return {address, [blocks = blocks_, block = std::move(block), bytes](std::byte*) mutable {
                    blocks->give(bytes, std::move(block));
                }};
    }

    /// While it lives, this thread's tensors come from the arena.
    class Scope {
       public:
        explicit Scope(Arena& arena) : before_(std::exchange(current(), &arena)) {}
        ~Scope() { current() = before_; }
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

       private:
        Arena* before_;
    };

    /// The arena in force for this thread, or null.
    [[nodiscard]] static Arena*& current() {
        static thread_local Arena* arena = nullptr;
        return arena;
    }

   private:
    class Blocks {
       public:
        std::shared_ptr<std::byte> take(std::size_t bytes) {
            const std::lock_guard lock(mutex_);
            std::vector<std::shared_ptr<std::byte>>& found = free_[bytes];
            if (found.empty()) {
                return nullptr;
            }
            std::shared_ptr<std::byte> block = std::move(found.back());
            found.pop_back();
            return block;
        }
        void give(std::size_t bytes, std::shared_ptr<std::byte> block) {
            const std::lock_guard lock(mutex_);
            if (!closed_) {
                free_[bytes].push_back(std::move(block));
            }
        }
        void close() {
            const std::lock_guard lock(mutex_);
            closed_ = true;
            free_.clear();
        }

       private:
        std::mutex mutex_;
        std::map<std::size_t, std::vector<std::shared_ptr<std::byte>>> free_;
        bool closed_ = false;
    };

    std::shared_ptr<Blocks> blocks_;
};

/// Storage for a tensor: from the arena in force, else from the pool.
[[nodiscard]] inline std::shared_ptr<std::byte> allocate(std::size_t bytes) {
    Arena* const arena = Arena::current();
    return arena != nullptr ? arena->allocate(bytes) : Memory::instance().allocate(bytes);
}

}  // namespace flowfar::cuda
