#pragma once

/// Optimizers, learning-rate schedules, averages of weights, gradient limits, and what all trainers share.

#include "flowfar/autodiff.hpp"
#include "flowfar/optim/adam.hpp"
#include "flowfar/optim/clip.hpp"
#include "flowfar/optim/ema.hpp"
#include "flowfar/optim/fixed_norm.hpp"
#include "flowfar/optim/rate_schedule.hpp"
#include "flowfar/optim/sgd.hpp"
#include "flowfar/optim/trainer.hpp"
