#pragma once

/// Everything that needs no other library than Eigen: tensors, backends, autodiff, layers, optimisers, FlowMo.
/// Files and images are separate (flowfar/flowmo.hpp, flowfar/io/…), because they need nlohmann-json, libpng and
/// libjpeg.

#include "flowfar/autodiff/backward.hpp"
#include "flowfar/backend/cpu.hpp"
#include "flowfar/backend/reference.hpp"
#include "flowfar/core/ops.hpp"
#include "flowfar/core/rearrange.hpp"
#include "flowfar/flowmo/train.hpp"
#include "flowfar/metrics/psnr.hpp"
#include "flowfar/metrics/ssim.hpp"
#include "flowfar/version.hpp"
