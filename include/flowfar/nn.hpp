#pragma once

/// Layers and their parameters, with PyTorch's names and defaults.

#include "flowfar/nn/blocks.hpp"
#include "flowfar/nn/conv.hpp"
#include "flowfar/nn/dropout.hpp"
#include "flowfar/nn/embedding.hpp"
#include "flowfar/nn/heads.hpp"
#include "flowfar/nn/init.hpp"
#include "flowfar/nn/linear.hpp"
#include "flowfar/nn/mlp.hpp"
#include "flowfar/nn/modulation.hpp"
#include "flowfar/nn/norm.hpp"
#include "flowfar/nn/parameter.hpp"
#include "flowfar/nn/rope.hpp"
#include "flowfar/nn/sequential.hpp"
#include "flowfar/nn/vit_block.hpp"
#include "flowfar/tensor.hpp"
