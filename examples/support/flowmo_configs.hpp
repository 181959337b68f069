#pragma once

// A table of FlowMo configurations by name. The programs' own table is made by CMake (flowmo_table.hpp.in) from the
// list in examples/CMakeLists.txt, which also compiles the model code once per configuration.

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

}  // namespace flowfar::program
