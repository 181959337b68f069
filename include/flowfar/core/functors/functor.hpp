#pragma once

/// The elementwise operations and their host/device arithmetic, in one include.

#include "flowfar/core/functors/binary_functor.hpp"
#include "flowfar/core/functors/elementwise_op.hpp"
#include "flowfar/core/functors/unary_functor.hpp"
