#pragma once

/// The definitions of `Cpu`'s operations. backend/cpu/cpu.hpp includes this file, unless FLOWFAR_SEPARATE_DEFINITIONS
/// is defined; then one unit of the program does (impl/cpu.cpp), and the others need neither Eigen nor the time to
/// compile its kernels.

#include "flowfar/backend/cpu/ops/attention.hpp"
#include "flowfar/backend/cpu/ops/binary.hpp"
#include "flowfar/backend/cpu/ops/images.hpp"
#include "flowfar/backend/cpu/ops/linear.hpp"
#include "flowfar/backend/cpu/ops/memory.hpp"
#include "flowfar/backend/cpu/ops/rows.hpp"
#include "flowfar/backend/cpu/ops/unary.hpp"
#include "flowfar/backend/cpu/ops/updates.hpp"
