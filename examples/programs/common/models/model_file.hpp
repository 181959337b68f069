#pragma once

// Which configuration a model file is of, where its tensors have to tell.

#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "flowfar/io/tensors/weights.hpp"

#include "common/cli/option.hpp"
#include "common/cli/printable.hpp"

namespace flowfar::program {

/// What the training programs write into their models and states; empty for other files.
[[nodiscard]] inline std::string named_configuration(const io::WeightsFile& file) {
    for (const auto& [name, value] : file.notes()) {
        if (name == "configuration" || name == "option.config") {
            return value;
        }
    }
    return {};
}

/// The first of the configurations that fit a file's tensors, with a remark where there are more. `size` says what the
/// tensors show, `preset` which of the library's configurations that is, `variable` where a build names its own.
[[nodiscard]] inline std::string chosen_configuration(const std::string& where, const std::string& size,
                                                      const std::vector<std::string>& fitting, std::string_view preset,
                                                      std::string_view variable) {
    require(!fitting.empty(), where, ": no configuration of this program fits: ", size,
            preset.empty() ? std::string("; derive one with these sizes and build the programs with it")
                           : text("; this is ", preset, ": build the programs with it, -D", variable, "=", preset));
    if (fitting.size() > 1) {
        std::fprintf(stderr, "%s\n",
                     printable(text(where, ": the tensors fit ", detail::joined(fitting), "; taken for ",
                                    fitting.front(), ", --config names another"))
                         .c_str());
    }
    return fitting.front();
}

}  // namespace flowfar::program
