#pragma once

// A table of configurations by name. The programs' own tables are made by CMake (config_tables.hpp.in) from the lists
// in examples/CMakeLists.txt, which also compiles the model code once per configuration.

#include <string>
#include <string_view>
#include <vector>

#include "common/cli/option.hpp"

namespace flowfar::program {

template <class... Configs>
struct ConfigTable {
    [[nodiscard]] static std::vector<std::string> names() { return {std::string(Configs::name)...}; }

    /// The names of the configurations C for which `fits.operator()<C>()` is true.
    template <class Fits>
    [[nodiscard]] static std::vector<std::string> matching(Fits&& fits) {
        std::vector<std::string> found;
        (
            [&] {
                if (fits.template operator()<Configs>()) {
                    found.emplace_back(Configs::name);
                }
            }(),
            ...);
        return found;
    }

    /// Calls `action.operator()<C>()` for the configuration C of this name; throws Error if there is none.
    template <class Action>
    static void visit(std::string_view name, Action&& action) {
        const bool found = ((Configs::name == name && (action.template operator()<Configs>(), true)) || ...);
        require(found, "unknown configuration \"", name, "\"; known are ", detail::joined(names()));
    }
};

}  // namespace flowfar::program
