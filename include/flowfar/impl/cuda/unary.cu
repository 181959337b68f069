#include "flowfar/backend/cuda/ops/unary.cuh"
