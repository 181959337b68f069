#pragma once

/// The definitions of `Cuda`'s operations, for the one unit of a program that nvcc compiles. A program that wants its
/// parts compiled side by side includes each part in a unit of its own instead.

#include "flowfar/backend/cuda/ops/attention.cuh"
#include "flowfar/backend/cuda/ops/binary.cuh"
#include "flowfar/backend/cuda/ops/images.cuh"
#include "flowfar/backend/cuda/ops/linear.cuh"
#include "flowfar/backend/cuda/ops/memory.cuh"
#include "flowfar/backend/cuda/ops/rows.cuh"
#include "flowfar/backend/cuda/ops/unary.cuh"
#include "flowfar/backend/cuda/ops/updates.cuh"
