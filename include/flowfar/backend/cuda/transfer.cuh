#pragma once

/// Copies of host memory on the device, also while a graph is recorded.

#include "flowfar/backend/cuda/runtime.cuh"

namespace flowfar::cuda {

/// What a graph keeps for its replays beside the memory of its arena.
struct GraphUploads {
    cudaStream_t side = nullptr;  ///< a stream that is not recorded
    std::vector<std::shared_ptr<std::byte>> blocks;

    /// The graph that this thread records, or null.
    [[nodiscard]] static GraphUploads*& current() {
        static thread_local GraphUploads* recorded = nullptr;
        return recorded;
    }
};

/// A block with a copy of `bytes` bytes of host memory. A recorded graph gets them once and finds them in every replay:
/// to it they are constants.
[[nodiscard]] inline std::shared_ptr<std::byte> upload(const void* data, std::size_t bytes) {
    GraphUploads* const graph = GraphUploads::current();
    if (graph == nullptr) {
        std::shared_ptr<std::byte> block = allocate(bytes);
        if (bytes > 0) {
            check(cudaMemcpyAsync(block.get(), data, bytes, cudaMemcpyHostToDevice, current_stream()), "from_host");
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
