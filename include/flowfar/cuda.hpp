#pragma once

/// `Cuda`: the backend of NVIDIA GPUs, and samplers that queue each step of FlowMo and FAR as one CUDA graph. These
/// headers need no CUDA; programs link flowfar::cuda and compile one unit with nvcc that includes
/// flowfar/backend/cuda/ops/all.cuh.

#include "flowfar/backend/cuda/cuda.hpp"
#include "flowfar/samplers_cuda/far.hpp"
#include "flowfar/samplers_cuda/flowmo.hpp"
