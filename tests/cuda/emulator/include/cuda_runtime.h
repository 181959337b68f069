#pragma once

/// A stand-in for the CUDA toolkit's header of this name: found first on the include path, it lets a host compiler
/// build the CUDA backend and run its kernels, thread by thread, under the checks of cuda_emulation/block.hpp.

#include "cuda_emulation/graph.hpp"
#include "cuda_emulation/memory.hpp"
#include "cuda_emulation/runtime.hpp"
#include "cuda_emulation/tensor_core.hpp"
#include "cuda_emulation/types.hpp"
#include "cuda_emulation/warp.hpp"
#include "cuda_emulation/warpgroup.hpp"
