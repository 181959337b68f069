#pragma once

/// `Cpu`: the backend of the CPU's vector instructions and threads. It needs Eigen.

#include "flowfar/backend/cpu/cpu.hpp"
