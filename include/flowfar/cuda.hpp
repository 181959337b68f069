#pragma once

/// `Cuda`: the backend of NVIDIA GPUs, and samplers that queue each step of FlowMo and FAR as one CUDA graph. These
/// headers need no CUDA; programs link flowfar::cuda_compiled, whose units nvcc compiles.

#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/backend/cuda/kernel_choice.hpp"
#include "flowfar/samplers_cuda/far.hpp"
#include "flowfar/samplers_cuda/flowmo.hpp"
