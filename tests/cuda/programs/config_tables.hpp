#pragma once

// What examples/CMakeLists.txt makes for programs, for tests of their run-time interface on both backends.

#include "flowfar/far/config.hpp"
#include "flowfar/flowmo/config.hpp"

#include "../../../examples/programs/common/cli/device.hpp"
#include "../../../examples/programs/common/models/config_table.hpp"

namespace flowfar::program {

using FlowMoConfigs = ConfigTable<FlowMoNano>;
using FarConfigs = ConfigTable<FarNano>;
using Backends = BackendTable<Cpu, Cuda>;

}  // namespace flowfar::program
