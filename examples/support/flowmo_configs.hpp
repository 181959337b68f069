#pragma once

// The table of FlowMo configurations that programs know by name. Whoever adds one also lists it in
// examples/CMakeLists.txt, which compiles the model code once per configuration for all programs.

#include <string>
#include <string_view>
#include <vector>

#include "flowfar/flowmo/config.hpp"

#include "option.hpp"

namespace flowfar::program {

template <class... Configs>
struct FlowMoTable {
    [[nodiscard]] static std::vector<std::string> names() { return {std::string(Configs::name)...}; }

    /// Calls `action.operator()<C>()` for the configuration C of this name; throws Error if there is none.
    template <class Action>
    static void visit(std::string_view name, Action&& action) {
        const bool found = ((Configs::name == name && (action.template operator()<Configs>(), true)) || ...);
        require(found, "unknown FlowMo configuration \"", name, "\"; known are ", detail::joined(names()));
    }
};

using FlowMoConfigs = FlowMoTable<FlowMoTiny, FlowMoTiny64, FlowMoSmall, FlowMoLo, FlowMoHi, FlowMoNano>;

}  // namespace flowfar::program
