#pragma once

/// The elementwise operations and their host/device arithmetic, in one include.

#include "flowfar/core/binary_functor.hpp"
#include "flowfar/core/elementwise_op.hpp"
#include "flowfar/core/unary_functor.hpp"
