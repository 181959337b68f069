#pragma once

/// The one place that starts kernels: on the current stream, with the status checked.

#include <utility>

#include "flowfar/backend/cuda/runtime/runtime.cuh"
#include "flowfar/core/dtype.hpp"

namespace flowfar::cuda {

/// Dynamic shared memory that a kernel may have without asking.
inline constexpr std::size_t shared_without_asking = 48 * 1024;

/// ⌈count / size⌉ as a grid extent; throws Error beyond 2^31 − 1.
[[nodiscard]] inline unsigned blocks_for(Index count, Index size) {
    const Index blocks = (count + size - 1) / size;
    require(blocks <= 0x7FFFFFFF, "cuda: a grid of ", blocks, " blocks is too large");
    return static_cast<unsigned>(blocks);
}

/// Starts `kernel` with `arguments` on the current stream; a grid without blocks starts nothing.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, Arguments&&... arguments) {
    static_assert(sizeof...(Parameters) == sizeof...(Arguments), "launch: wrong number of kernel arguments");
    if (grid.x == 0 || grid.y == 0 || grid.z == 0) {
        return;
    }
    if (shared_bytes > shared_without_asking) {
        check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes)),
              "cudaFuncSetAttribute");
    }
    cudaLaunchConfig_t config{};
    config.gridDim = grid;
    config.blockDim = block;
    config.dynamicSmemBytes = shared_bytes;
    config.stream = current_stream();
    check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...), "kernel launch");
}

}  // namespace flowfar::cuda
