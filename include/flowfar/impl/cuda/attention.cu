#include "flowfar/backend/cuda/ops/attention.cuh"
