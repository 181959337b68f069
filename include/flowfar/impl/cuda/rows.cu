#include "flowfar/backend/cuda/ops/rows.cuh"
