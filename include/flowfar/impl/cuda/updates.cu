#include "flowfar/backend/cuda/ops/updates.cuh"
