#pragma once

/// Measures of image quality, and the networks that some of them look through: PSNR, SSIM, LPIPS, Fréchet distances
/// (FID), Inception Score, precision and recall. Weights of the networks are loaded with flowfar/io.hpp.

#include "flowfar/metrics/fid_convention.hpp"
#include "flowfar/metrics/frechet.hpp"
#include "flowfar/metrics/inception_score.hpp"
#include "flowfar/metrics/moments.hpp"
#include "flowfar/metrics/precision_recall.hpp"
#include "flowfar/metrics/psnr.hpp"
#include "flowfar/metrics/ssim.hpp"
#include "flowfar/perceptual/inception.hpp"
#include "flowfar/perceptual/lpips.hpp"
#include "flowfar/perceptual/resnet50.hpp"
#include "flowfar/perceptual/resnet_loss.hpp"
