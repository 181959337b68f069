#include "flowfar/backend/cuda/ops/binary.cuh"
