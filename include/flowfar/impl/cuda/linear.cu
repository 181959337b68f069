#include "flowfar/backend/cuda/ops/linear.cuh"
