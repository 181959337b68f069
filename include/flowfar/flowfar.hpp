#pragma once

/// Everything that needs neither a device nor files: tensors, autodiff, layers, optimizers, PSNR and SSIM, FlowMo,
/// FAR and MaskGiT.
/// Add flowfar/cpu.hpp or flowfar/cuda.hpp for a backend and flowfar/io.hpp for files.

#include "flowfar/autodiff.hpp"
#include "flowfar/far.hpp"
#include "flowfar/flowmo.hpp"
#include "flowfar/metrics/psnr.hpp"
#include "flowfar/metrics/ssim.hpp"
#include "flowfar/nn.hpp"
#include "flowfar/optim.hpp"
#include "flowfar/tensor.hpp"
