#pragma once

/// Tensors, autodiff, the reference backend, optimisers and FlowMo with its layers, without any other library.
/// Include flowfar/backend/cpu/cpu.hpp for the CPU backend (it needs Eigen) and flowfar/flowmo.hpp or flowfar/io/… for
/// files and images (nlohmann-json, libpng, libjpeg, zlib).

#include "flowfar/autodiff/backward.hpp"
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"
#include "flowfar/flowmo/train.hpp"
#include "flowfar/metrics/psnr.hpp"
#include "flowfar/metrics/ssim.hpp"
#include "flowfar/version.hpp"
