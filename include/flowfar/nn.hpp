#pragma once

/// Layers and their parameters, with PyTorch's names and defaults. A copy of a layer shares its weights; `clone(layer)`
/// has its own. Parameters have values once they are initialized or loaded.
///
///     Sequential<Cpu, Linear<Cpu, 64, 32>, Gelu, Linear<Cpu, 32, 10>> network;
///     network.initialize(1);

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
