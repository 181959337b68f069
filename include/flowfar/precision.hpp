#pragma once

/// Scopes of mixed precision: `Bf16Products` for training and inference, `Int8Products` for inference.

#include "flowfar/backend/precision.hpp"
