#include "flowfar/backend/cuda/ops/images.cuh"
