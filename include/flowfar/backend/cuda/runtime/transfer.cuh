#pragma once

/// Transfers between host and device that the host does not wait for, also while a graph is recorded.

#include <bit>
#include <cstring>
#include <deque>

#include "flowfar/backend/cuda/runtime/fetched.hpp"
#include "flowfar/backend/cuda/runtime/runtime.cuh"

namespace flowfar::cuda {

/// Page-locked host memory between pageable memory and the device, which could not be copied without waiting. A block
/// is used again when the copies that were queued with it are done. Thread-safe.
class Staging {
   public:
    static constexpr std::size_t smallest = std::size_t{1} << 16;
    static constexpr std::size_t largest = std::size_t{1} << 26;  ///< larger blocks are not kept
    static constexpr std::size_t in_flight = 4;                   ///< blocks of one size that may have copies under way

    struct Block {
        explicit Block(std::size_t bytes) {
            static_cast<void>(current_device());  // events belong to the device that is current where they are made
            check(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault), "cudaHostAlloc");
            check(cudaEventCreateWithFlags(&copied, cudaEventDisableTiming), "cudaEventCreateWithFlags");
        }
        Block(const Block&) = delete;
        Block& operator=(const Block&) = delete;
        ~Block() {
            cudaEventSynchronize(copied);
            cudaEventDestroy(copied);
            cudaFreeHost(memory);
        }

        void* memory = nullptr;
        cudaEvent_t copied = nullptr;  ///< record it behind the copy
    };

    static Staging& instance() {
        static Staging* staging = new Staging;  // never destroyed, like the streams
        return *staging;
    }

    /// At least `bytes` bytes. Waits only if `in_flight` blocks of this size have copies under way. The block comes
    /// back when nobody holds it; what was queued with it may still be under way then.
    [[nodiscard]] std::shared_ptr<Block> take(std::size_t bytes) {
        if (bytes > largest) {
            return std::make_shared<Block>(bytes);
        }
        const std::size_t i = class_of(bytes);
        return {take_from(i), [this, i](Block* block) {
                    const std::lock_guard lock(mutex_);
                    free_[i].push_back(block);
                }};
    }

   private:
    [[nodiscard]] static std::size_t class_of(std::size_t bytes) {
        return static_cast<std::size_t>(std::bit_width((std::max(bytes, smallest) - 1) / smallest));
    }
    enum class Copies : std::uint8_t { done, under_way, lost };

    /// Copies that were recorded into a graph cannot be asked for: they are lost.
    [[nodiscard]] static Copies copies_of(cudaError_t status) {
        if (status == cudaSuccess) {
            return Copies::done;
        }
        cudaGetLastError();  // or the next check would report it
        return status == cudaErrorNotReady ? Copies::under_way : Copies::lost;
    }
    [[nodiscard]] Block* take_from(std::size_t i) {
        const std::lock_guard lock(mutex_);
        std::deque<Block*>& blocks = free_[i];
        while (!blocks.empty()) {
            Block* const block = blocks.front();
            Copies found = copies_of(cudaEventQuery(block->copied));
            if (found == Copies::under_way) {
                if (blocks.size() < in_flight) {
                    break;
                }
                found = copies_of(cudaEventSynchronize(block->copied));
            }
            blocks.pop_front();
            if (found == Copies::done) {
                return block;
            }
            lost_.push_back(block);  // nobody can know when its memory may be used again
        }
        return new Block(smallest << i);
    }

    std::mutex mutex_;
    std::map<std::size_t, std::deque<Block*>> free_;
    std::vector<Block*> lost_;
};

/// Whether the device can read this memory itself.
[[nodiscard]] inline bool is_page_locked(const void* data) {
    cudaPointerAttributes attributes{};
    check(cudaPointerGetAttributes(&attributes, data), "cudaPointerGetAttributes");
    return attributes.type == cudaMemoryTypeHost;
}

/// Queues a copy of host memory to the device; what is not page-locked has been read on return.
inline void copy_to_device(void* target, const void* data, std::size_t bytes) {
    const cudaStream_t stream = current_stream();
    // The driver itself stages what is small at once, but may wait for the stream before it stages more.
    if (bytes <= Staging::smallest || bytes > Staging::largest || is_page_locked(data)) {
        check(cudaMemcpyAsync(target, data, bytes, cudaMemcpyHostToDevice, stream), "from_host");
        return;
    }
    const std::shared_ptr<Staging::Block> block = Staging::instance().take(bytes);
    std::memcpy(block->memory, data, bytes);
    check(cudaMemcpyAsync(target, block->memory, bytes, cudaMemcpyHostToDevice, stream), "from_host");
    check(cudaEventRecord(block->copied, stream), "cudaEventRecord");
}

/// A copy to the host that is under way.
class FetchedBlock final : public Fetched {
   public:
    /// `source` is device memory, which may be given back to its stream at once.
    FetchedBlock(const void* source, std::size_t bytes) : block_(Staging::instance().take(bytes)) {
        check(cudaMemcpyAsync(block_->memory, source, bytes, cudaMemcpyDeviceToHost, current_stream()), "fetch");
        check(cudaEventRecord(block_->copied, current_stream()), "cudaEventRecord");
    }
    [[nodiscard]] const void* wait() const override {
        check(cudaEventSynchronize(block_->copied), "cudaEventSynchronize");
        return block_->memory;
    }

   private:
    std::shared_ptr<Staging::Block> block_;
};

/// A block with a copy of `bytes` bytes of host memory. A recorded graph gets them once and finds them in every replay:
/// to it they are constants.
[[nodiscard]] inline std::shared_ptr<std::byte> upload(const void* data, std::size_t bytes) {
    Recording* const graph = Recording::current();
    if (graph == nullptr) {
        std::shared_ptr<std::byte> block = allocate(bytes);
        if (bytes > 0) {
            copy_to_device(block.get(), data, bytes);
        }
        return block;
    }
    const StreamScope aside(graph->side);
    graph->blocks.push_back(Memory::instance().allocate(bytes));
    if (bytes > 0) {
        check(cudaMemcpyAsync(graph->blocks.back().get(), data, bytes, cudaMemcpyHostToDevice, graph->side),
              "from_host");
        synchronize();
    }
    return graph->blocks.back();
}

}  // namespace flowfar::cuda
