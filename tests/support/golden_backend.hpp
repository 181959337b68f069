#pragma once

/// The backend that golden tests hold against the reference implementations: the CPU's, or `Cuda` in the programs that
/// are built a second time from the same tests.

#if defined(FLOWFAR_GOLDEN_ON_CUDA)
#include "flowfar/backend/cuda/cuda.hpp"
#else
#include "flowfar/backend/cpu/cpu.hpp"
#endif

namespace flowfar::testing {

#if defined(FLOWFAR_GOLDEN_ON_CUDA)
using Tested = Cuda;
#else
using Tested = Cpu;
#endif

}  // namespace flowfar::testing
