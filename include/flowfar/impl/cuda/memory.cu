#include "flowfar/backend/cuda/ops/memory.cuh"
