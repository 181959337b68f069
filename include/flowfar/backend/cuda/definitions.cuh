#pragma once

/// The definitions of `Cuda`'s operations, for the one unit of a program that nvcc compiles. A program that wants its
/// parts compiled side by side includes each part in a unit of its own instead.

#include "flowfar/backend/cuda/definitions/attention.cuh"
#include "flowfar/backend/cuda/definitions/binary.cuh"
#include "flowfar/backend/cuda/definitions/images.cuh"
#include "flowfar/backend/cuda/definitions/linear.cuh"
#include "flowfar/backend/cuda/definitions/memory.cuh"
#include "flowfar/backend/cuda/definitions/rows.cuh"
#include "flowfar/backend/cuda/definitions/unary.cuh"
#include "flowfar/backend/cuda/definitions/updates.cuh"
